-- What the corpus test compares: payloads as bytes, and two independent accounts of them.
CREATE EXTENSION IF NOT EXISTS webhook_routing;
SELECT set_routing_enabled(true, 'the table of expectations speaks of routing enabled at 0 %');

CREATE TABLE IF NOT EXISTS payload (origin text, file text, bytes bytea, PRIMARY KEY (origin, file));
ALTER TABLE payload ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS expected (
    origin text, file text, items int, kind text, from_number text, sender_key text, message_id text,
    message_type text, domain text, reason text, PRIMARY KEY (origin, file));
CREATE TABLE IF NOT EXISTS reading (
    origin text, file text, items int, kind text, from_number text, sender_key text, message_id text,
    message_type text, PRIMARY KEY (origin, file));
CREATE TABLE IF NOT EXISTS sentence (language text, domain text, sentence text);
