-- How other services enqueue messages (design §10): functions that a role may
-- call which can do nothing else. They run as their owner with a fixed search
-- path; session_user, which they cannot change, is the caller.
--
-- None of them takes the locks of a claim: a caller's transaction may stay open
-- for minutes, and a pause would wait for it. cancel_message and opt_in lock rows:
-- a claim passes over these, and asks again a second later. A message that is written here was
-- never seen by anybody before the commit, and the claim checks holds, deadlines,
-- opt-outs and suppression under its own locks.
--
-- The functions within have no settings of their own: a SET is paid at each call,
-- and they are called by those of the contract only, which fix search_path and
-- standard_conforming_strings (the literals here hold backslashes) for all.
-- The collation is fixed there as well: an argument's goes to every variable of a
-- function and from there to its comparisons, and session_user has C, which is
-- none of our indexes'. Every lookup of a key read the whole table.

-- Normal before low, and a high one that is released or tried again keeps its
-- rank. The values are River's priorities.
ALTER TABLE campaign.messages ADD COLUMN priority smallint NOT NULL DEFAULT 2
    CONSTRAINT messages_priority_check CHECK (priority BETWEEN 1 AND 3);
COMMENT ON COLUMN campaign.messages.priority IS '1 high, 2 normal (every campaign), 3 low; also that of the River job';
DROP INDEX campaign.messages_due_idx;
CREATE INDEX messages_due_idx ON campaign.messages (campaign_id, priority, due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE campaign.idempotency_keys (
    caller     text NOT NULL,
    key        text NOT NULL CONSTRAINT idempotency_keys_key_check CHECK (key <> '' AND length(key) <= 255),
    message_id bigint NOT NULL CONSTRAINT idempotency_keys_message_id_key UNIQUE,
    arguments  bytea NOT NULL,
    send_after timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_created_at_idx ON campaign.idempotency_keys USING brin (created_at);
COMMENT ON TABLE campaign.idempotency_keys IS 'who enqueued which message, and with what: kept 90 days after the call or after send_after, whichever is later';
COMMENT ON COLUMN campaign.idempotency_keys.arguments IS 'SHA-256 of the arguments but send_after; empty once the person was forgotten, and then any arguments are the same';
COMMENT ON COLUMN campaign.idempotency_keys.send_after IS 'NULL when it was due at once';

-- What the digits of a number tell of its country, as package phone has it: the
-- calling codes, the countries that share one, and the area codes of +1. A number
-- belongs to the longest prefix. Generated; a test compares both.
CREATE TABLE campaign.number_prefixes (
    prefix  text PRIMARY KEY,
    country text NOT NULL,
    nanp    text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN campaign.number_prefixes.country IS 'ISO 3166-1 alpha-2; empty for services that belong to no country';
INSERT INTO campaign.number_prefixes (prefix, country, nanp) VALUES
    ('1', 'US', 'us'), ('1204', 'CA', 'canada'), ('1226', 'CA', 'canada'), ('1236', 'CA', 'canada'), ('1242', 'BS', 'caribbean'),
    ('1246', 'BB', 'caribbean'), ('1249', 'CA', 'canada'), ('1250', 'CA', 'canada'), ('1257', 'CA', 'canada'), ('1263', 'CA', 'canada'),
    ('1264', 'AI', 'caribbean'), ('1268', 'AG', 'caribbean'), ('1273', 'CA', 'canada'), ('1284', 'VG', 'caribbean'), ('1289', 'CA', 'canada'),
    ('1306', 'CA', 'canada'), ('1340', 'VI', 'us_territory'), ('1343', 'CA', 'canada'), ('1345', 'KY', 'caribbean'), ('1354', 'CA', 'canada'),
    ('1365', 'CA', 'canada'), ('1367', 'CA', 'canada'), ('1368', 'CA', 'canada'), ('1382', 'CA', 'canada'), ('1403', 'CA', 'canada'),
    ('1416', 'CA', 'canada'), ('1418', 'CA', 'canada'), ('1428', 'CA', 'canada'), ('1431', 'CA', 'canada'), ('1437', 'CA', 'canada'),
    ('1438', 'CA', 'canada'), ('1441', 'BM', 'caribbean'), ('1450', 'CA', 'canada'), ('1468', 'CA', 'canada'), ('1473', 'GD', 'caribbean'),
    ('1474', 'CA', 'canada'), ('1500', '', 'non_geographic'), ('1506', 'CA', 'canada'), ('1514', 'CA', 'canada'), ('1519', 'CA', 'canada'),
    ('1521', '', 'non_geographic'), ('1522', '', 'non_geographic'), ('1523', '', 'non_geographic'), ('1524', '', 'non_geographic'),
    ('1525', '', 'non_geographic'), ('1526', '', 'non_geographic'), ('1527', '', 'non_geographic'), ('1528', '', 'non_geographic'),
    ('1529', '', 'non_geographic'), ('1532', '', 'non_geographic'), ('1533', '', 'non_geographic'), ('1538', '', 'non_geographic'),
    ('1544', '', 'non_geographic'), ('1548', 'CA', 'canada'), ('1566', '', 'non_geographic'), ('1577', '', 'non_geographic'), ('1579', 'CA', 'canada'),
    ('1581', 'CA', 'canada'), ('1584', 'CA', 'canada'), ('1587', 'CA', 'canada'), ('1588', '', 'non_geographic'), ('1600', 'CA', 'non_geographic'),
    ('1604', 'CA', 'canada'), ('1613', 'CA', 'canada'), ('1622', 'CA', 'non_geographic'), ('1633', 'CA', 'non_geographic'), ('1639', 'CA', 'canada'),
    ('1647', 'CA', 'canada'), ('1649', 'TC', 'caribbean'), ('1658', 'JM', 'caribbean'), ('1664', 'MS', 'caribbean'), ('1670', 'MP', 'us_territory'),
    ('1671', 'GU', 'us_territory'), ('1672', 'CA', 'canada'), ('1683', 'CA', 'canada'), ('1684', 'AS', 'us_territory'), ('1700', '', 'non_geographic'),
    ('1705', 'CA', 'canada'), ('1709', 'CA', 'canada'), ('1710', '', 'non_geographic'), ('1721', 'SX', 'caribbean'), ('1742', 'CA', 'canada'),
    ('1753', 'CA', 'canada'), ('1758', 'LC', 'caribbean'), ('1767', 'DM', 'caribbean'), ('1778', 'CA', 'canada'), ('1780', 'CA', 'canada'),
    ('1782', 'CA', 'canada'), ('1784', 'VC', 'caribbean'), ('1787', 'PR', 'us_territory'), ('1800', '', 'toll_free'), ('1807', 'CA', 'canada'),
    ('1809', 'DO', 'caribbean'), ('1819', 'CA', 'canada'), ('1822', '', 'toll_free'), ('1825', 'CA', 'canada'), ('1829', 'DO', 'caribbean'),
    ('1833', '', 'toll_free'), ('1844', '', 'toll_free'), ('1849', 'DO', 'caribbean'), ('1855', '', 'toll_free'), ('1866', '', 'toll_free'),
    ('1867', 'CA', 'canada'), ('1868', 'TT', 'caribbean'), ('1869', 'KN', 'caribbean'), ('1873', 'CA', 'canada'), ('1876', 'JM', 'caribbean'),
    ('1877', '', 'toll_free'), ('1879', 'CA', 'canada'), ('1888', '', 'toll_free'), ('1900', '', 'non_geographic'), ('1902', 'CA', 'canada'),
    ('1905', 'CA', 'canada'), ('1939', 'PR', 'us_territory'), ('1942', 'CA', 'canada'), ('20', 'EG', ''), ('211', 'SS', ''), ('212', 'MA', ''),
    ('213', 'DZ', ''), ('216', 'TN', ''), ('218', 'LY', ''), ('220', 'GM', ''), ('221', 'SN', ''), ('222', 'MR', ''), ('223', 'ML', ''),
    ('224', 'GN', ''), ('225', 'CI', ''), ('226', 'BF', ''), ('227', 'NE', ''), ('228', 'TG', ''), ('229', 'BJ', ''), ('230', 'MU', ''),
    ('231', 'LR', ''), ('232', 'SL', ''), ('233', 'GH', ''), ('234', 'NG', ''), ('235', 'TD', ''), ('236', 'CF', ''), ('237', 'CM', ''),
    ('238', 'CV', ''), ('239', 'ST', ''), ('240', 'GQ', ''), ('241', 'GA', ''), ('242', 'CG', ''), ('243', 'CD', ''), ('244', 'AO', ''),
    ('245', 'GW', ''), ('246', 'IO', ''), ('247', 'AC', ''), ('248', 'SC', ''), ('249', 'SD', ''), ('250', 'RW', ''), ('251', 'ET', ''),
    ('252', 'SO', ''), ('253', 'DJ', ''), ('254', 'KE', ''), ('255', 'TZ', ''), ('256', 'UG', ''), ('257', 'BI', ''), ('258', 'MZ', ''),
    ('260', 'ZM', ''), ('261', 'MG', ''), ('262', 'RE', ''), ('262269', 'YT', ''), ('262639', 'YT', ''), ('263', 'ZW', ''), ('264', 'NA', ''),
    ('265', 'MW', ''), ('266', 'LS', ''), ('267', 'BW', ''), ('268', 'SZ', ''), ('269', 'KM', ''), ('27', 'ZA', ''), ('290', 'SH', ''),
    ('291', 'ER', ''), ('297', 'AW', ''), ('298', 'FO', ''), ('299', 'GL', ''), ('30', 'GR', ''), ('31', 'NL', ''), ('32', 'BE', ''), ('33', 'FR', ''),
    ('34', 'ES', ''), ('350', 'GI', ''), ('351', 'PT', ''), ('352', 'LU', ''), ('353', 'IE', ''), ('354', 'IS', ''), ('355', 'AL', ''),
    ('356', 'MT', ''), ('357', 'CY', ''), ('358', 'FI', ''), ('35818', 'AX', ''), ('359', 'BG', ''), ('36', 'HU', ''), ('370', 'LT', ''),
    ('371', 'LV', ''), ('372', 'EE', ''), ('373', 'MD', ''), ('374', 'AM', ''), ('375', 'BY', ''), ('376', 'AD', ''), ('377', 'MC', ''),
    ('378', 'SM', ''), ('380', 'UA', ''), ('381', 'RS', ''), ('382', 'ME', ''), ('383', 'XK', ''), ('385', 'HR', ''), ('386', 'SI', ''),
    ('387', 'BA', ''), ('389', 'MK', ''), ('39', 'IT', ''), ('3906698', 'VA', ''), ('40', 'RO', ''), ('41', 'CH', ''), ('420', 'CZ', ''),
    ('421', 'SK', ''), ('423', 'LI', ''), ('43', 'AT', ''), ('44', 'GB', ''), ('45', 'DK', ''), ('46', 'SE', ''), ('47', 'NO', ''), ('4779', 'SJ', ''),
    ('48', 'PL', ''), ('49', 'DE', ''), ('500', 'FK', ''), ('501', 'BZ', ''), ('502', 'GT', ''), ('503', 'SV', ''), ('504', 'HN', ''), ('505', 'NI', ''),
    ('506', 'CR', ''), ('507', 'PA', ''), ('508', 'PM', ''), ('509', 'HT', ''), ('51', 'PE', ''), ('52', 'MX', ''), ('53', 'CU', ''), ('54', 'AR', ''),
    ('55', 'BR', ''), ('56', 'CL', ''), ('57', 'CO', ''), ('58', 'VE', ''), ('590', 'GP', ''), ('591', 'BO', ''), ('592', 'GY', ''), ('593', 'EC', ''),
    ('594', 'GF', ''), ('595', 'PY', ''), ('596', 'MQ', ''), ('597', 'SR', ''), ('598', 'UY', ''), ('599', 'CW', ''), ('5993', 'BQ', ''),
    ('5994', 'BQ', ''), ('5997', 'BQ', ''), ('60', 'MY', ''), ('61', 'AU', ''), ('6189162', 'CC', ''), ('6189164', 'CX', ''), ('62', 'ID', ''),
    ('63', 'PH', ''), ('64', 'NZ', ''), ('65', 'SG', ''), ('66', 'TH', ''), ('670', 'TL', ''), ('672', 'NF', ''), ('673', 'BN', ''), ('674', 'NR', ''),
    ('675', 'PG', ''), ('676', 'TO', ''), ('677', 'SB', ''), ('678', 'VU', ''), ('679', 'FJ', ''), ('680', 'PW', ''), ('681', 'WF', ''),
    ('682', 'CK', ''), ('683', 'NU', ''), ('685', 'WS', ''), ('686', 'KI', ''), ('687', 'NC', ''), ('688', 'TV', ''), ('689', 'PF', ''),
    ('690', 'TK', ''), ('691', 'FM', ''), ('692', 'MH', ''), ('7', 'RU', ''), ('76', 'KZ', ''), ('77', 'KZ', ''), ('81', 'JP', ''), ('82', 'KR', ''),
    ('84', 'VN', ''), ('850', 'KP', ''), ('852', 'HK', ''), ('853', 'MO', ''), ('855', 'KH', ''), ('856', 'LA', ''), ('86', 'CN', ''), ('880', 'BD', ''),
    ('886', 'TW', ''), ('90', 'TR', ''), ('91', 'IN', ''), ('92', 'PK', ''), ('93', 'AF', ''), ('94', 'LK', ''), ('95', 'MM', ''), ('960', 'MV', ''),
    ('961', 'LB', ''), ('962', 'JO', ''), ('963', 'SY', ''), ('964', 'IQ', ''), ('965', 'KW', ''), ('966', 'SA', ''), ('967', 'YE', ''),
    ('968', 'OM', ''), ('970', 'PS', ''), ('971', 'AE', ''), ('972', 'IL', ''), ('973', 'BH', ''), ('974', 'QA', ''), ('975', 'BT', ''),
    ('976', 'MN', ''), ('977', 'NP', ''), ('98', 'IR', ''), ('992', 'TJ', ''), ('993', 'TM', ''), ('994', 'AZ', ''), ('995', 'GE', ''),
    ('996', 'KG', ''), ('998', 'UZ', '');

-- Errors. The class WA is ours; COLUMN names the argument, DETAIL what is wrong
-- and HINT the remedy. None ever repeats a number, a parameter or a key.

-- Reads a recipient: the form that is stored, the key under which all forms of
-- the number are one person, and the country. It mirrors package phone as far as
-- that goes without libphonenumber.
CREATE FUNCTION campaign.read_number(recipient text, place text, OUT phone text, OUT match_key text, OUT country text, OUT nanp text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$ -- of two pages: 10 µs by the index, 50 without
DECLARE
    digits text;
    wrong  text;
BEGIN
    IF recipient IS NULL OR recipient !~ '^\+[1-9][0-9]{6,14}$' THEN
        wrong := CASE WHEN recipient IS NULL THEN 'it is null' WHEN recipient = '' THEN 'it is empty'
                      WHEN left(recipient, 1) <> '+' THEN 'it does not begin with +'
                      WHEN recipient !~ '^\+[0-9]*$' THEN 'it holds something else than digits after the +'
                      WHEN recipient ~ '^\+0' THEN 'no calling code begins with 0'
                      WHEN length(recipient) > 16 THEN 'it has more than 15 digits' ELSE 'it has fewer than 7 digits' END;
    ELSE
        digits := substr(recipient, 2);
        IF left(digits, 3) = '521' AND length(digits) = 13 THEN
            digits := '52' || substr(digits, 4); -- Mexico's mobile form until 2019
        END IF;
        SELECT p.country, p.nanp INTO country, nanp
          FROM campaign.number_prefixes AS p
         WHERE p.prefix = ANY (ARRAY[left(digits, 1), left(digits, 2), left(digits, 3), left(digits, 4), left(digits, 5), left(digits, 6), left(digits, 7)])
         ORDER BY length(p.prefix) DESC LIMIT 1;
        IF NOT FOUND THEN
            wrong := 'it does not begin with the calling code of a country';
        ELSIF left(digits, 1) = '1' THEN
            wrong := CASE WHEN length(digits) <> 11 THEN '+1 is followed by ten digits'
                          WHEN substr(digits, 2, 1) < '2' OR substr(digits, 3, 2) = '11' THEN 'there is no such area code after +1'
                          WHEN nanp IN ('toll_free', 'non_geographic') THEN 'a +1 number of a service cannot be reached by WhatsApp'
                          WHEN substr(digits, 5, 1) < '2' THEN 'the three digits after the area code cannot begin with 0 or 1' END;
        END IF;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'WA005', COLUMN = 'recipient', MESSAGE = place || 'the recipient is not a phone number we can write to',
            DETAIL = 'recipient: ' || wrong, HINT = 'recipient: write it in E.164: +, calling code and number, such as +49 151… without spaces';
    END IF;
    phone := '+' || digits;
    match_key := '+' || CASE WHEN left(digits, 2) = '55' AND length(digits) = 12 AND substr(digits, 5, 1) >= '6' THEN left(digits, 4) || '9' || substr(digits, 5)
                             WHEN left(digits, 3) = '549' AND length(digits) = 13 THEN '54' || substr(digits, 4)
                             ELSE digits END;
END $$;

-- Says why a value does not fit its slot, or NULL. It mirrors package campaign's
-- checks and reading of values; a test holds them against each other.
CREATE FUNCTION campaign.slot_problem(kind text, required boolean, given boolean, value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    space   constant text := '[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';
    control constant text := '[\u0001-\u001f\u007f-\u009f]';
    type    text := jsonb_typeof(value);
    text    text;
    medium  text;
    field   record;
    link    text;
BEGIN
    IF given AND type = 'null' THEN
        RETURN 'is null: leave the slot out, or give it a text';
    ELSIF given AND type = 'array' THEN
        RETURN 'is a list: a value is a text, or an object such as {"image":{"link":"https://…"}}';
    ELSIF type = 'object' THEN
        IF (SELECT count(*) FROM jsonb_object_keys(value)) <> 1 THEN
            RETURN 'takes an object of exactly one of image, video, document, gif, location';
        END IF;
        medium := (SELECT k FROM jsonb_object_keys(value) AS k);
        IF medium NOT IN ('image', 'video', 'document', 'gif', 'location') THEN
            RETURN 'has a key that is not known: one of image, video, document, gif, location';
        ELSIF jsonb_typeof(value -> medium) <> 'object' THEN
            RETURN medium || ' is not an object';
        END IF;
        FOR field IN SELECT key, jsonb_typeof(f.value) AS type FROM jsonb_each(value -> medium) AS f LOOP
            IF medium = 'location' AND field.key NOT IN ('latitude', 'longitude', 'name', 'address') THEN
                RETURN 'location has a key that is not known: latitude, longitude, name, address';
            ELSIF medium <> 'location' AND field.key = 'file' THEN
                RETURN medium || ' cannot name a file of the caller: give a link or the id of an uploaded medium';
            ELSIF medium <> 'location' AND field.key NOT IN ('link', 'id') AND (medium <> 'document' OR field.key <> 'filename') THEN
                RETURN medium || ' has a key that is not known: ' || CASE WHEN medium = 'document' THEN 'link, id, filename' ELSE 'link, id' END;
            ELSIF field.type NOT IN ('string', 'number') THEN
                RETURN medium || '.' || field.key || ' is not a text';
            END IF;
        END LOOP;
    ELSE
        text := value #>> '{}';
    END IF;

    IF NOT given OR text = '' THEN
        RETURN CASE WHEN NOT required THEN NULL WHEN given THEN 'is empty' ELSE 'is missing' END;
    END IF;
    CASE
    WHEN kind IN ('text', 'url', 'quick_reply', 'copy_code', 'voice_call') THEN
        IF medium IS NOT NULL THEN
            RETURN 'takes a text';
        ELSIF ascii(text) NOT BETWEEN 33 AND 126 AND text ~ ('^' || space || '*$') THEN
            RETURN 'is blank';
        END IF;
        CASE kind
        WHEN 'text' THEN
            RETURN CASE WHEN strpos(text, chr(10)) > 0 OR strpos(text, chr(13)) > 0 THEN 'contains a line break'
                        WHEN strpos(text, chr(9)) > 0 THEN 'contains a tab'
                        WHEN strpos(text, '     ') > 0 THEN 'contains more than 4 spaces in a row' END;
        WHEN 'url' THEN
            RETURN CASE WHEN text !~ '[^-0-9A-Za-z/._~=&?]' THEN NULL -- most, by one look
                        WHEN text ~ space OR text ~ control THEN 'contains a space or a control character, which a URL cannot hold; write %20'
                        WHEN text ~ '["<>\\^`{|}]' THEN 'contains a character that a URL cannot hold; percent-encode it'
                        WHEN text ~ '%(?![0-9A-Fa-f]{2})' THEN 'contains a % that is not followed by two hexadecimal digits; write %25' END;
        WHEN 'copy_code' THEN
            RETURN CASE WHEN text ~ '[^0-9a-zA-Z]' THEN 'contains something else than the letters a-z, A-Z and digits'
                        WHEN length(text) > 15 THEN format('is %s characters long, 15 at most', length(text)) END;
        ELSE
            RETURN CASE WHEN length(text) > 256 THEN format('is %s characters long, 256 at most', length(text)) END;
        END CASE;
    WHEN kind IN ('image', 'video', 'document', 'gif') THEN
        IF medium IS DISTINCT FROM kind THEN
            RETURN format('takes a medium: {"%s":{"link":"https://…"}}', kind);
        END IF;
        link := value #>> ARRAY[medium, 'link'];
        RETURN CASE
            WHEN COALESCE(link, '') = '' AND COALESCE(value #>> ARRAY[medium, 'id'], '') = '' THEN format('the %s has neither link nor id', medium)
            WHEN link <> '' AND value #>> ARRAY[medium, 'id'] <> '' THEN format('the %s has both link and id', medium)
            WHEN value #>> ARRAY[medium, 'filename'] ~ control THEN 'the filename contains a control character'
            WHEN value #>> ARRAY[medium, 'id'] ~ space OR value #>> ARRAY[medium, 'id'] ~ control THEN 'the media id contains a space'
            WHEN link ~ space THEN 'the link contains a space'
            WHEN link ~ control OR link ~ '%(?![0-9A-Fa-f]{2})' THEN 'the link is not a URL'
            WHEN link <> '' AND link !~* '^https://' THEN 'the link must begin with https://'
            WHEN link <> '' AND link !~* '^https://([^/?#@]*@)?[^/?#:@]' THEN 'the link has no host' END;
    WHEN kind = 'location' THEN
        IF medium IS DISTINCT FROM 'location' THEN
            RETURN 'takes a location: {"location":{"latitude":"…","longitude":"…"}}';
        END IF;
        value := value -> 'location';
        RETURN CASE
            WHEN COALESCE(value ->> 'latitude', '') !~ '^[+-]?([0-9]{1,3}(\.[0-9]*)?|\.[0-9]+)$' OR abs((value ->> 'latitude')::numeric) > 90
                THEN 'the latitude is not a number from -90 to 90'
            WHEN COALESCE(value ->> 'longitude', '') !~ '^[+-]?([0-9]{1,3}(\.[0-9]*)?|\.[0-9]+)$' OR abs((value ->> 'longitude')::numeric) > 180
                THEN 'the longitude is not a number from -180 to 180'
            WHEN value ->> 'name' ~ control OR value ->> 'address' ~ control THEN 'the name or the address contains a control character' END;
    ELSE
        RETURN 'is of a kind that this version cannot fill';
    END CASE;
END $$;

-- Every rule of the provider that the parameters break, as "slot: reason".
CREATE FUNCTION campaign.parameter_problems(slots jsonb, parts jsonb, parameters jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    problems text[] := '{}';
    slot     record;
    part     record;
    place    text[];
    keys     text[] := '{}';
    longest  integer := 0; -- of the values
    reason   text;
    last     text;
    size     integer;
BEGIN
    FOR slot IN SELECT s ->> 'key' AS key, s ->> 'kind' AS kind, (s ->> 'required')::boolean AS required
                  FROM jsonb_array_elements(slots) WITH ORDINALITY AS e(s, n) ORDER BY n LOOP
        keys := keys || slot.key;
        longest := greatest(longest, length(parameters ->> slot.key));
        reason := campaign.slot_problem(slot.kind, slot.required, parameters ? slot.key, parameters -> slot.key);
        IF reason IS NOT NULL THEN
            problems := problems || (slot.key || ': ' || reason);
        END IF;
    END LOOP;
    IF parameters - keys <> '{}' THEN
        problems := problems || CASE WHEN cardinality(keys) = 0 THEN 'the template takes no parameters'
            ELSE format('%s of the parameters are of no slot; the template has %s',
                        (SELECT count(*) FROM jsonb_object_keys(parameters) AS k WHERE k <> ALL (keys)), array_to_string(keys, ', ')) END;
    END IF;
    -- Lengths after substitution, of what could be too long: if every placeholder
    -- were replaced by the longest value.
    FOR part IN SELECT * FROM (
                SELECT CASE p ->> 'Kind' WHEN 'header' THEN 'the header' WHEN 'body' THEN 'the body' ELSE 'the URL' END AS what,
                       CASE p ->> 'Kind' WHEN 'header' THEN 60 WHEN 'body' THEN 1024 ELSE 2000 END AS most,
                       CASE p ->> 'Kind' WHEN 'button' THEN p ->> 'URL' ELSE p ->> 'Text' END AS text,
                       CASE p ->> 'Kind' WHEN 'button' THEN 'button.' || (p ->> 'Index') END AS key,
                       (p ->> 'Kind') || '.' AS prefix, n
                  FROM jsonb_array_elements(parts) WITH ORDINALITY AS e(p, n)
                 WHERE p ->> 'Kind' IN ('header', 'body', 'button')) AS l
                 WHERE length(l.text) + (length(l.text) - length(replace(l.text, '{{', ''))) / 2 * longest > l.most ORDER BY l.n LOOP
        size := length(part.text);
        last := NULL;
        FOR place IN SELECT regexp_matches(part.text, '(\{\{\s*([^{}\s]+)\s*\}\})', 'g') LOOP
            reason := COALESCE(part.key, part.prefix || place[2]);
            CONTINUE WHEN reason <> ALL (keys);
            last := reason;
            size := size - length(place[1]) + CASE WHEN jsonb_typeof(parameters -> last) IN ('string', 'number', 'boolean') THEN length(parameters ->> last) ELSE 0 END;
        END LOOP;
        IF last IS NOT NULL AND size > part.most THEN
            problems := problems || format('%s: %s would be %s characters long with its values, %s at most', last, part.what, size, part.most);
        END IF;
    END LOOP;
    RETURN problems;
END $$;

-- Whether somebody was forgotten: their keyed hash, HMAC-SHA256 (RFC 2104) by
-- settings.person_key, is on the suppression list and nothing else of them is kept.
CREATE FUNCTION campaign.is_forgotten(match_key text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    inner_pad bytea;
    outer_pad bytea;
BEGIN
    IF NOT EXISTS (SELECT FROM campaign.suppressions AS s WHERE s.forgotten) THEN
        RETURN false; -- nearly always
    END IF;
    SELECT decode(rpad(s.value, 128, '0'), 'hex') INTO STRICT inner_pad FROM campaign.settings AS s WHERE s.key = 'person_key';
    outer_pad := inner_pad;
    FOR i IN 0..63 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # 92);
    END LOOP;
    RETURN EXISTS (SELECT FROM campaign.suppressions AS s
                    WHERE s.hash = sha256(outer_pad || sha256(inner_pad || convert_to(match_key, 'UTF8'))) AND s.scope = 'all' AND s.forgotten);
END $$;

-- Stores one message, or finds the one that its key names already: stored tells.
-- What follows from new ones is count_enqueued's. place is put before an error's message.
CREATE FUNCTION campaign.enqueue_one(p_caller text, place text, p_channel text, p_template text, p_language text, p_recipient text,
    p_parameters jsonb, p_key text, p_send_after timestamptz, p_priority text, p_expires_at timestamptz, OUT id bigint, OUT stored boolean)
LANGUAGE plpgsql AS $$
DECLARE
    v_rank      smallint;
    v_arguments bytea;
    v_after     timestamptz; -- NULL: at once
    v_new       bigint;
    v_known     record;
    v_channel   bigint;
    v_template  record;
    v_problems  text[];
    v_number    record;
    v_contact   bigint;
    v_opted_in  boolean;
    v_opted_out boolean;
    v_forgotten boolean;
    v_state     text := 'pending';
    v_reason    text := '';
BEGIN
    -- Blanks are what a caller without a key joins together, as campaign.launch has it.
    IF p_key IS NULL OR btrim(p_key, E' \t\r\n') = '' OR length(p_key) > 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'idempotency_key', MESSAGE = place || 'there is no usable idempotency key',
            DETAIL = 'idempotency_key: ' || CASE WHEN length(p_key) > 255 THEN 'it is longer than 255 characters' ELSE 'it is empty' END,
            HINT = 'idempotency_key: give what names this message in your own records, such as order-1234-shipped: a repeated call with it sends nothing twice';
    END IF;
    p_parameters := COALESCE(p_parameters, '{}');
    p_priority := COALESCE(p_priority, 'normal');
    IF p_send_after > now() THEN
        v_after := p_send_after;
    END IF;
    v_arguments := sha256(convert_to(jsonb_build_array(p_channel, p_template, p_language, p_recipient, p_parameters, p_priority,
        extract(epoch FROM p_expires_at))::text, 'UTF8'));

    -- Twice at most: once as it stands, once more when somebody else's insert of the
    -- same key was waited for.
    LOOP
        SELECT k.message_id, k.arguments, k.send_after INTO v_known
          FROM campaign.idempotency_keys AS k WHERE k.caller = p_caller AND k.key = p_key;
        IF FOUND THEN
            -- A repeat may come after the time it names: both then mean "at once".
            IF v_known.arguments <> v_arguments AND v_known.arguments <> ''
               OR v_known.send_after IS DISTINCT FROM v_after AND v_known.send_after IS DISTINCT FROM p_send_after THEN
                RAISE EXCEPTION USING ERRCODE = 'WA001', COLUMN = 'idempotency_key',
                    MESSAGE = place || 'this idempotency key was used with other arguments',
                    DETAIL = format('idempotency_key: message %s was enqueued with it', v_known.message_id),
                    HINT = 'idempotency_key: repeat the call with the arguments it had, or give another message a key of its own';
            END IF;
            id := v_known.message_id;
            stored := false;
            RETURN;
        ELSIF v_new IS NOT NULL THEN
            -- The key was there when it was inserted and is not visible: an isolation
            -- above READ COMMITTED would have failed before.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'the idempotency key was used at the same moment', HINT = 'repeat the transaction';
        END IF;

        v_rank := CASE p_priority WHEN 'high' THEN 1 WHEN 'normal' THEN 2 WHEN 'low' THEN 3 END;
        IF v_rank IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'priority', MESSAGE = place || 'there is no such priority',
                DETAIL = 'priority: it is none of high, normal, low', HINT = 'priority: give high, normal or low';
        ELSIF p_expires_at <= greatest(p_send_after, now()) THEN
            RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'expires_at', MESSAGE = place || 'the message would expire before it is due',
                DETAIL = 'expires_at: it is not after now and send_after', HINT = 'expires_at: give a later time, or none';
        -- Programs cannot hold an infinite time, nor JSON a year of five digits: one
        -- such row would stop its channel.
        ELSIF p_send_after NOT BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN
            RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'send_after', MESSAGE = place || 'send_after is no time at which a message could be sent',
                DETAIL = 'send_after: it is infinite, before 1970 or after the year 9999', HINT = 'send_after: give a time, or leave it out: then it is at once';
        ELSIF p_expires_at > '9999-12-31Z' THEN
            RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'expires_at', MESSAGE = place || 'expires_at is no time at which a message could expire',
                DETAIL = 'expires_at: it is infinite or after the year 9999', HINT = 'expires_at: give a time, or leave it out: then it never expires';
        END IF;
        SELECT c.id INTO v_channel FROM campaign.channels AS c WHERE c.name = p_channel;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'WA002', COLUMN = 'channel', MESSAGE = place || 'there is no such channel',
                DETAIL = 'channel: no channel has this name',
                HINT = 'channel: ' || COALESCE('one of ' || (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM campaign.channels AS c), 'campaignctl channel add makes one');
        END IF;
        SELECT t.id, t.status, t.category, t.sendable, t.slots, t.parts INTO v_template
          FROM campaign.templates AS t
         WHERE t.channel_id = v_channel AND t.name = p_template AND t.language = replace(p_language, '-', '_');
        IF NOT FOUND THEN
            IF EXISTS (SELECT FROM campaign.templates AS t WHERE t.channel_id = v_channel AND t.name = p_template) THEN
                RAISE EXCEPTION USING ERRCODE = 'WA003', COLUMN = 'language', MESSAGE = place || 'the template is not there in this language',
                    DETAIL = 'language: no template of this channel has this name and language',
                    HINT = 'language: one of ' || (SELECT string_agg(t.language, ', ' ORDER BY t.language)
                                                     FROM campaign.templates AS t WHERE t.channel_id = v_channel AND t.name = p_template);
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'WA003', COLUMN = 'template', MESSAGE = place || 'there is no such template',
                DETAIL = 'template: no template of this channel has this name',
                HINT = 'template: ' || COALESCE('one of ' || (SELECT string_agg(n.name, ', ') FROM (SELECT DISTINCT t.name FROM campaign.templates AS t
                            WHERE t.channel_id = v_channel ORDER BY t.name LIMIT 20) AS n), 'campaignctl template sync fetches them');
        ELSIF v_template.status <> 'APPROVED' OR NOT v_template.sendable THEN
            RAISE EXCEPTION USING ERRCODE = 'WA004', COLUMN = 'template', MESSAGE = place || 'the template cannot be sent',
                DETAIL = 'template: ' || CASE WHEN v_template.status <> 'APPROVED' THEN 'its status is ' || v_template.status ELSE 'it has parts that this version cannot fill' END,
                HINT = 'template: campaignctl template show tells more; campaignctl template sync asks the provider again';
        END IF;
        IF jsonb_typeof(p_parameters) <> 'object' THEN
            RAISE EXCEPTION USING ERRCODE = 'WA006', COLUMN = 'parameters', MESSAGE = place || 'the parameters are not an object',
                DETAIL = 'parameters: they are of type ' || jsonb_typeof(p_parameters), HINT = 'parameters: write {"body.1":"…"}';
        ELSIF octet_length(p_parameters::text) > 65536 THEN
            RAISE EXCEPTION USING ERRCODE = 'WA006', COLUMN = 'parameters', MESSAGE = place || 'the parameters are too large',
                DETAIL = 'parameters: they are longer than 64 KiB, more than any template takes', HINT = 'parameters: give a medium by link or id';
        END IF;
        v_problems := campaign.parameter_problems(v_template.slots, v_template.parts, p_parameters);
        IF cardinality(v_problems) > 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'WA006', COLUMN = 'parameters', MESSAGE = place || 'the parameters do not fit the template',
                DETAIL = 'parameters: ' || array_to_string(v_problems, '; '),
                HINT = 'parameters: the template takes ' || COALESCE((SELECT string_agg(format('%s (%s%s)', s ->> 'key', s ->> 'kind',
                            CASE WHEN (s ->> 'required')::boolean THEN '' ELSE ', optional' END), ', ') FROM jsonb_array_elements(v_template.slots) AS s), 'none');
        END IF;
        v_number := campaign.read_number(p_recipient, place);
        v_forgotten := campaign.is_forgotten(v_number.match_key);

        -- The contact, under any form of the number.
        SELECT c.id INTO v_contact FROM campaign.contacts AS c
         WHERE c.match_key = v_number.match_key ORDER BY c.phone <> v_number.phone, c.id LIMIT 1;
        IF NOT FOUND AND NOT v_forgotten THEN
            INSERT INTO campaign.contacts (phone, match_key, country, nanp)
            VALUES (v_number.phone, v_number.match_key, v_number.country, v_number.nanp)
            ON CONFLICT (phone) DO NOTHING RETURNING contacts.id INTO v_contact;
            IF v_contact IS NULL THEN
                SELECT c.id INTO STRICT v_contact FROM campaign.contacts AS c WHERE c.phone = v_number.phone;
            END IF;
        END IF;

        v_new := nextval('campaign.message_ids');
        INSERT INTO campaign.idempotency_keys (caller, key, message_id, arguments, send_after)
        VALUES (p_caller, p_key, v_new, CASE WHEN v_forgotten THEN '' ELSE v_arguments END, v_after)
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;

    IF v_forgotten THEN
        -- The caller gets a status, and we keep nothing of the person.
        v_state := 'skipped';
        v_reason := 'suppressed';
        v_contact := 0;
        v_number.phone := '';
        p_parameters := '{}';
    ELSIF v_template.category = 'MARKETING' THEN
        SELECT bool_or(c.opt_in IS TRUE), bool_or(c.opted_out_at IS NOT NULL) INTO v_opted_in, v_opted_out
          FROM campaign.contacts AS c WHERE c.match_key = v_number.match_key;
        IF v_opted_out OR NOT v_opted_in THEN
            v_state := 'skipped';
            v_reason := CASE WHEN v_opted_out THEN 'opted_out' ELSE 'not_opted_in' END;
        END IF;
    END IF;
    IF v_state = 'pending' AND v_rank = 1 AND v_after IS NULL THEN
        v_state := 'queued';
    END IF;
    INSERT INTO campaign.messages (id, channel_id, template_id, contact_id, phone, parameters, state, reason, attempt, priority, due_at, expires_at)
    VALUES (v_new, v_channel, v_template.id, v_contact, v_number.phone, p_parameters, v_state, v_reason,
            CASE v_state WHEN 'queued' THEN 1 ELSE 0 END, v_rank, CASE v_state WHEN 'pending' THEN COALESCE(v_after, now()) END, p_expires_at);
    id := v_new;
    stored := true;
END $$;

-- Counts the messages that a call has stored and inserts the jobs of those that
-- are queued, as fan-out would: once for all of them.
CREATE FUNCTION campaign.count_enqueued(ids bigint[], first bigint, last bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    FOR v_queue IN
        WITH new AS (
          SELECT m.id, m.channel_id, m.state, m.reason, m.priority FROM campaign.messages AS m
           WHERE m.id = ANY (ids) AND m.id BETWEEN first AND last),
        counted AS (
          INSERT INTO campaign.message_count_deltas (campaign_id, channel_id, state, detail, n)
          SELECT 0, n.channel_id, n.state, n.reason, count(*) FROM new AS n GROUP BY n.channel_id, n.state, n.reason),
        jobs AS (
          INSERT INTO river.river_job (kind, queue, args, max_attempts, priority)
          SELECT 'send', format('ch_%s_high', n.channel_id), jsonb_build_object('message', n.id, 'attempt', 1, 'campaign', 0), 100, n.priority
            FROM new AS n WHERE n.state = 'queued' ORDER BY n.id
          RETURNING queue)
        SELECT DISTINCT j.queue FROM jobs AS j
    LOOP
        PERFORM pg_notify('river.river_insert', jsonb_build_object('queue', v_queue)::text);
    END LOOP;
END $$;

-- Reads a message that is written as an object whose keys are enqueue's
-- arguments, and stores it.
CREATE FUNCTION campaign.enqueue_object(p_caller text, place text, message jsonb, OUT id bigint, OUT stored boolean)
LANGUAGE plpgsql AS $$
DECLARE
    arguments constant text[] := '{channel,template,language,recipient,parameters,idempotency_key,send_after,priority,expires_at}';
    field text;
    type  text;
    times timestamptz[] := ARRAY[NULL, NULL];
    one   record;
BEGIN
    IF jsonb_typeof(message) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'messages', MESSAGE = place || 'a message is an object',
            DETAIL = 'messages: it is something else', HINT = 'messages: its keys are the arguments of campaign.enqueue';
    ELSIF message - arguments <> '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'messages', MESSAGE = place || 'a message has a key that is not known',
            DETAIL = 'messages: a key is none of the arguments of campaign.enqueue', HINT = 'messages: ' || array_to_string(arguments, ', ');
    END IF;
    -- One look at most messages; the loop tells which argument it is.
    IF message ?| '{send_after,expires_at}' OR (message - 'parameters') @? 'strict $.* ? (@.type() != "string" && @.type() != "null")' THEN
      FOREACH field IN ARRAY arguments LOOP
        type := jsonb_typeof(message -> field);
        IF field <> 'parameters' AND type NOT IN ('string', 'null') THEN
            RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = field, MESSAGE = place || field || ' is not a text',
                DETAIL = field || ': it is of type ' || type, HINT = field || ': write it as a JSON string';
        ELSIF field IN ('send_after', 'expires_at') AND type = 'string' THEN
            BEGIN
                IF message ->> field !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$' THEN
                    RAISE datetime_field_overflow;
                END IF;
                times[CASE field WHEN 'send_after' THEN 1 ELSE 2 END] := (message ->> field)::timestamptz;
            EXCEPTION WHEN data_exception THEN
                RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = field, MESSAGE = place || field || ' is not a time',
                    DETAIL = field || ': it is not written as RFC 3339 has it', HINT = field || ': write it with its offset, such as 2026-04-01T09:00:00+02:00';
            END;
        END IF;
      END LOOP;
    END IF;
    one := campaign.enqueue_one(p_caller, place, message ->> 'channel', message ->> 'template', message ->> 'language', message ->> 'recipient',
        NULLIF(message -> 'parameters', 'null'), message ->> 'idempotency_key', times[1], message ->> 'priority', times[2]);
    id := one.id;
    stored := one.stored;
END $$;

-- The contract (design §10).

CREATE FUNCTION campaign.enqueue(channel text, template text, language text, recipient text, parameters jsonb, idempotency_key text,
    send_after timestamptz DEFAULT now(), priority text DEFAULT 'normal', expires_at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
DECLARE
    one record;
BEGIN
    one := campaign.enqueue_one(session_user::text COLLATE "default", '', channel, template, language, recipient, parameters, idempotency_key,
        send_after, priority, expires_at);
    IF one.stored THEN
        PERFORM campaign.count_enqueued(ARRAY[one.id], one.id, one.id);
    END IF;
    RETURN one.id;
END $$;
COMMENT ON FUNCTION campaign.enqueue IS 'enqueues one message in the caller''s transaction and returns its id; the same key returns the same id';

CREATE FUNCTION campaign.enqueue_many(messages jsonb) RETURNS TABLE (idempotency_key text, id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
DECLARE
    most    constant integer := 10000;
    message record;
    one     record;
    ids     bigint[];
    new     bigint[];
BEGIN
    IF jsonb_typeof(messages) IS DISTINCT FROM 'array' OR jsonb_array_length(messages) > most THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'messages', MESSAGE = 'messages is not a list of at most ' || most,
            DETAIL = 'messages: ' || CASE jsonb_typeof(messages) WHEN 'array' THEN 'there are ' || jsonb_array_length(messages) ELSE 'it is not a list' END,
            HINT = 'messages: give a JSON array of objects whose keys are the arguments of campaign.enqueue, in several calls where it is longer';
    END IF;
    -- In the order of recipients: two calls at once wait for each other and never in
    -- a circle.
    FOR message IN SELECT m.value, m.n FROM jsonb_array_elements(messages) WITH ORDINALITY AS m(value, n)
                    ORDER BY m.value ->> 'recipient' COLLATE "C", m.value ->> 'idempotency_key' COLLATE "C", m.n LOOP
        one := campaign.enqueue_object(session_user::text COLLATE "default", format('messages[%s]: ', message.n - 1), message.value);
        ids[message.n] := one.id;
        IF one.stored THEN
            new := new || one.id;
        END IF;
    END LOOP;
    IF new IS NOT NULL THEN
        PERFORM campaign.count_enqueued(new, new[1], new[cardinality(new)]); -- ids rise
    END IF;
    RETURN QUERY SELECT m.value ->> 'idempotency_key', ids[m.n]
                   FROM jsonb_array_elements(messages) WITH ORDINALITY AS m(value, n) ORDER BY m.n;
END $$;
COMMENT ON FUNCTION campaign.enqueue_many IS 'enqueues a list of messages, all or none; an error''s message begins with messages[N], counted from 0';

CREATE FUNCTION campaign.message_status(id bigint)
RETURNS TABLE (state text, reason text, error_code text, provider_id text, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.state, m.reason, m.error_code, m.provider_id, m.updated_at
      FROM campaign.messages AS m
     WHERE m.id = message_status.id
       AND EXISTS (SELECT FROM campaign.idempotency_keys AS k WHERE k.message_id = message_status.id AND k.caller = session_user)
$$;
COMMENT ON FUNCTION campaign.message_status IS 'where a message is that the caller''s own role enqueued; no row for any other';

-- Bounds how long a caller may keep a row that a claim waits for: an idle
-- transaction would stop a channel.
CREATE FUNCTION campaign.bound_idle_transaction() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT set_config('idle_in_transaction_session_timeout', '10s', true)
      FROM pg_settings AS s WHERE s.name = 'idle_in_transaction_session_timeout' AND s.setting::bigint NOT BETWEEN 1 AND 10000
$$;

CREATE FUNCTION campaign.cancel_message(id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id bigint := id;
    was  campaign.messages%ROWTYPE;
    v_is record;
BEGIN
    IF NOT EXISTS (SELECT FROM campaign.idempotency_keys AS k WHERE k.message_id = v_id AND k.caller = session_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'WA008', COLUMN = 'id', MESSAGE = 'there is no such message of this role',
            DETAIL = 'id: this role enqueued no message with this id in the last 90 days', HINT = 'id: give what campaign.enqueue returned to the same role';
    END IF;
    -- What is not waiting is not locked: its outcome and its reports do not wait for
    -- the caller's transaction. A claim passes over what is locked.
    SELECT m.* INTO was FROM campaign.messages AS m WHERE m.id = v_id;
    IF was.state IN ('pending', 'queued', 'deferred') THEN
        PERFORM campaign.bound_idle_transaction();
        BEGIN
            SELECT m.* INTO was FROM campaign.messages AS m WHERE m.id = v_id FOR UPDATE;
            IF was.state NOT IN ('pending', 'queued', 'deferred') THEN
                RAISE EXCEPTION USING ERRCODE = 'WA000'; -- a claim was first: gives the lock back
            END IF;
        EXCEPTION WHEN SQLSTATE 'WA000' THEN NULL;
        END;
    END IF;
    IF was.id IS NULL OR was.state NOT IN ('pending', 'queued', 'deferred') THEN
        RETURN COALESCE(was.state IN ('cancelled', 'skipped'), false);
    END IF;
    -- campaign.Message.Cancel: what was never posted is cancelled; a resend that
    -- waits leaves the POST it would have repeated unknown; anything else failed.
    UPDATE campaign.messages AS m
       SET state = CASE WHEN m.posts = 0 THEN 'cancelled' WHEN m.resend THEN 'unknown' ELSE 'failed' END,
           reason = '', error_code = CASE WHEN m.posts = 0 THEN '' ELSE m.error_code END, resend = false, due_at = NULL,
           failed_at = CASE WHEN m.posts > 0 AND NOT m.resend THEN COALESCE(m.failed_at, clock_timestamp()) ELSE m.failed_at END,
           updated_at = now()
     WHERE m.id = v_id
    RETURNING m.state, CASE m.state WHEN 'failed' THEN m.error_code ELSE '' END AS detail INTO v_is;
    INSERT INTO campaign.message_count_deltas (campaign_id, channel_id, state, detail, n)
    VALUES (was.campaign_id, was.channel_id, was.state, CASE WHEN was.state IN ('pending', 'deferred') THEN was.reason ELSE '' END, -1),
           (was.campaign_id, was.channel_id, v_is.state, v_is.detail, 1);
    RETURN v_is.state = 'cancelled';
END $$;
COMMENT ON FUNCTION campaign.cancel_message IS 'true: nothing was sent and nothing will be. False: it had been claimed; a retry or resend that waited is called off';

CREATE FUNCTION campaign.opt_in(recipient text, source text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
DECLARE
    v_at     timestamptz := at;
    v_source text := source;
    v_number record;
BEGIN
    IF v_source IS NULL OR btrim(v_source) = '' OR length(v_source) > 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'source', MESSAGE = 'an opt-in needs a source',
            DETAIL = 'source: it is empty or longer than 255 characters', HINT = 'source: say where the person agreed, such as checkout-form';
    ELSIF v_at IS NULL OR v_at > clock_timestamp() + interval '5 minutes' OR v_at < '2009-01-01Z' THEN
        RAISE EXCEPTION USING ERRCODE = 'WA007', COLUMN = 'at', MESSAGE = 'an opt-in needs the time at which the person agreed',
            DETAIL = 'at: it is null, in the future or long before WhatsApp', HINT = 'at: give the time that your own records have';
    END IF;
    v_at := least(v_at, clock_timestamp()); -- a clock that is ahead must not outlast a stop that comes next
    v_number := campaign.read_number(recipient COLLATE "default", '');
    IF campaign.is_forgotten(v_number.match_key) THEN
        RETURN false; -- and is not brought back
    END IF;
    PERFORM campaign.bound_idle_transaction();
    INSERT INTO campaign.contacts (phone, match_key, country, nanp)
    SELECT v_number.phone, v_number.match_key, v_number.country, v_number.nanp
     WHERE NOT EXISTS (SELECT FROM campaign.contacts AS c WHERE c.match_key = v_number.match_key)
    ON CONFLICT (phone) DO NOTHING;
    -- Who opted out later than that stays out. No lock of claims is taken: an opt-in
    -- binds nobody to stop.
    WITH locked AS (
      SELECT c.id FROM campaign.contacts AS c
       WHERE c.match_key = v_number.match_key AND (c.opted_out_at IS NULL OR c.opted_out_at < v_at)
         AND (c.consent_at IS NULL OR c.consent_at < v_at)
         AND NOT EXISTS (SELECT FROM campaign.marketing_preferences AS p WHERE p.match_key = c.match_key AND p.stopped AND p.at >= v_at)
       ORDER BY c.phone COLLATE "C" FOR NO KEY UPDATE)
    UPDATE campaign.contacts AS c
       SET opt_in = true, opt_in_source = v_source, opt_in_at = v_at, consent_at = v_at, opted_out_at = NULL, opted_out_by = '', updated_at = now()
      FROM locked WHERE c.id = locked.id;
    UPDATE campaign.marketing_preferences AS p SET stopped = false WHERE p.match_key = v_number.match_key AND p.stopped AND p.at < v_at;
    RETURN NOT EXISTS (SELECT FROM campaign.contacts AS c WHERE c.match_key = v_number.match_key AND c.opted_out_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM campaign.marketing_preferences AS p WHERE p.match_key = v_number.match_key AND p.stopped);
END $$;
COMMENT ON FUNCTION campaign.opt_in IS 'notes that a person agreed to get marketing; false when they opted out after that time or had themselves forgotten, which stands';

-- The other route: a job of kind enqueue_message in queue enqueue, inserted with
-- River's insert-only client by a role that may insert nothing else. Who inserted
-- it is stamped here, over whatever the client wrote. So is what River alone
-- writes, and what its client cannot read: one such job would stop the queue.
CREATE FUNCTION campaign.stamp_enqueue_message() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.metadata := COALESCE(NEW.metadata, '{}') || jsonb_build_object('enqueued_by', session_user);
    IF NOT row_security_active('river.river_job') THEN
        RETURN NEW; -- the owner, who may restore a dump
    END IF;
    NEW.id := nextval('river.river_job_id_seq'); -- one of the client's choice could be a later job's
    -- River works the queue in this order: many normal ones delay no high one.
    NEW.priority := CASE NEW.args ->> 'priority' WHEN 'high' THEN 1 WHEN 'low' THEN 3 ELSE 2 END;
    NEW.attempt := 0;
    NEW.attempted_at := NULL;
    NEW.attempted_by := NULL;
    NEW.errors := NULL;
    NEW.finalized_at := NULL;
    NEW.created_at := now();
    NEW.max_attempts := greatest(NEW.max_attempts, 100); -- a daemon that dies spends one
    IF NEW.scheduled_at NOT BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN
        NEW.scheduled_at := now();
    END IF;
    IF array_ndims(NEW.tags) > 1 OR array_position(NEW.tags, NULL) IS NOT NULL THEN
        NEW.tags := '{}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp_enqueue_message BEFORE INSERT ON river.river_job
    FOR EACH ROW WHEN (NEW.kind = 'enqueue_message') EXECUTE FUNCTION campaign.stamp_enqueue_message();

CREATE FUNCTION campaign.enqueue_job(job bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
DECLARE
    v_job record;
    one   record;
BEGIN
    SELECT j.args, j.metadata ->> 'enqueued_by' AS caller INTO v_job FROM river.river_job AS j WHERE j.id = job AND j.kind = 'enqueue_message';
    IF v_job.caller IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'WA008', COLUMN = 'job', MESSAGE = 'there is no such job, or it does not say who inserted it',
            DETAIL = 'job: its metadata has no enqueued_by', HINT = 'job: insert it anew';
    END IF;
    one := campaign.enqueue_object(v_job.caller, '', v_job.args);
    IF one.stored THEN
        PERFORM campaign.count_enqueued(ARRAY[one.id], one.id, one.id);
    END IF;
    RETURN one.id;
END $$;
COMMENT ON FUNCTION campaign.enqueue_job IS 'what the daemon does with a job of kind enqueue_message: enqueue for the role that inserted it';

-- Changes of enqueued messages are notified on channel campaign_events when this
-- setting is on: see docs/enqueue.md.
CREATE FUNCTION campaign.notify_events(enabled boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO campaign.settings (key, value) VALUES ('notify_events', CASE WHEN enabled THEN 'on' ELSE 'off' END)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
$$;
COMMENT ON FUNCTION campaign.notify_events IS 'switches NOTIFY campaign_events for enqueued messages on or off';

-- Nobody may call any of it until a role is granted it.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign FROM PUBLIC;
