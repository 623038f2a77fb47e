-- The same as it is: the state in a line of its own, then the document. Runs after status.sql.
\pset tuples_only on
\pset format unaligned
SELECT :'status'::json ->> 'state';
SELECT replace(:'status', E'\n', ' ');
