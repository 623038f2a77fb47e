-- French words for the six domains. \i this file in psql, with the schema of the extension in the
-- search_path; it may be run again, and leaves what is there as it is. Accents do not matter: they
-- are taken off the rule and off the message alike. Left out on purpose, since they mean something
-- else in other sentences: marche, course, police, prime, location, stage, couverture.
--
-- To take the pack back: DELETE FROM webhook_routing_keywords WHERE language = 'fr';
INSERT INTO webhook_routing_keywords (domain, pattern, match, language)
SELECT domain, pattern, match, 'fr'
  FROM (VALUES
	('jobs',        'prefix', '{emploi,embauche,recrut,candidature,travaill,salaire}'),
	('jobs',        'word',   '{travail,boulot,métier,métiers,postuler,"offre d emploi"}'),
	('marketplace', 'prefix', '{achet,achat,vendre,vendeu,boutique,magasin,commerc,produit,commande}'),
	('marketplace', 'word',   '{vend,vends,vendez,vendons,vente,ventes,panier,courtier}'),
	('property',    'prefix', '{maison,appartement,immobilier,logement,loyer,locataire,propriétaire}'),
	('property',    'word',   '{louer,loue,"à louer",chambre,terrain,parcelle}'),
	('mobility',    'prefix', '{chauffeur,livraison,réservation,conducteur}'),
	('mobility',    'word',   '{trajet,trajets,voyage,réserver,moto,covoiturage}'),
	('profile',     'prefix', '{portefeuille,paiement,récompense,parrainage,jeton,virement}'),
	('profile',     'word',   '{solde,payer,argent,compte,comptes,dépôt,retrait,profil}'),
	('insurance',   'prefix', '{assureur,assurance,sinistre,cotisation,indemni}'),
	('insurance',   'word',   '{assurer,assuré,garantie}')
  ) AS pack (domain, match, patterns), unnest(patterns::text[]) AS pattern
ON CONFLICT DO NOTHING;
