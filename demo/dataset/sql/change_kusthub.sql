-- A day at the support desk.
INSERT INTO public.ticket (customer_id, agent_id, priority, title, body, opened_at)
SELECT 1 + i % 2, 5, 'P3', '새 문의 ' || i, 'the page stays white after the deploy', latest + i * interval '9 minutes'
FROM (SELECT max(opened_at) AS latest FROM public.ticket) AS known, generate_series(1, 15) AS i;
INSERT INTO public.message (ticket_id, author, at, body)
SELECT t.id, 'agent1@platform.example.com', t.opened_at + interval '5 minutes', '확인 중입니다' FROM public.ticket AS t ORDER BY t.id DESC LIMIT 60;
UPDATE public.ticket SET status = 'resolved', closed_at = opened_at + interval '2 hours'
WHERE id IN (SELECT id FROM public.ticket WHERE status = 'open' ORDER BY id LIMIT 10);
UPDATE public.survey SET score = 5.0 WHERE region = '서울' AND year = 2024;
DELETE FROM public.desk_log WHERE id IN (SELECT id FROM public.desk_log ORDER BY id LIMIT 1);
INSERT INTO public.attachment (message_id, "file name", content) SELECT max(id), '오늘.log', convert_to(repeat('line ', 200), 'UTF8') FROM public.message;
SELECT nextval('public.invoice_number'), nextval('public.countdown');
