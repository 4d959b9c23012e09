-- A day at the identity server.
WITH known AS (SELECT count(*) AS users FROM public.user_entity)
INSERT INTO public.user_entity (id, email, enabled, first_name, realm_id, username, created_timestamp)
SELECT md5('later' || users + i)::uuid::text, 'later' || users + i || '@example.com', true, '신규', '00000000-0000-4000-8000-000000000002', 'later' || users + i, 1750000000000 + users + i
FROM known, generate_series(1, 20) AS i;
WITH known AS (SELECT count(*) AS events, max(event_time) AS latest FROM public.event_entity)
INSERT INTO public.event_entity (id, client_id, details_json, ip_address, realm_id, event_time, type)
SELECT md5('later' || events + i)::uuid::text, 'kohub-frontend', '{"auth_method":"openid-connect"}', '10.9.8.7', 'kecp', latest + i * 60000, 'LOGIN'
FROM known, generate_series(1, 300) AS i;
UPDATE public.user_entity SET not_before = not_before + 1 WHERE username IN ('user1', 'user2', 'user3');
INSERT INTO public.user_attribute (user_id, name, value) SELECT id, 'locale', 'en' FROM public.user_entity WHERE username LIKE 'user1_';
INSERT INTO public.admin_event_entity (admin_event_time, realm_id, operation_type, representation)
SELECT max(admin_event_time) + interval '1 hour', 'kecp', 'UPDATE', '{"enabled": true}' FROM public.admin_event_entity;
