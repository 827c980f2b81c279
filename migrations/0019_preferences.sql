-- What WhatsApp last told of a person and a number of ours: the person stopped its
-- marketing, or resumed it. A resume lifts nothing that stands on another number
-- (whatsapp-facts §6.5).
CREATE TABLE campaign.marketing_preferences (
    match_key  text NOT NULL,
    channel_id bigint NOT NULL,
    stopped    boolean NOT NULL,
    at         timestamptz NOT NULL,
    CONSTRAINT marketing_preferences_pkey PRIMARY KEY (match_key, channel_id)
);
COMMENT ON TABLE campaign.marketing_preferences IS 'stops and resumes that WhatsApp told: of user_preferences, and of error 131050';
COMMENT ON COLUMN campaign.marketing_preferences.at IS 'when the person chose: an older choice that comes later changes nothing. A person''s own word has contacts.consent_at';
COMMENT ON COLUMN campaign.contacts.consent_at IS 'when the person last said yes or no to marketing in words, or it was noted by hand: an older word that comes later changes nothing';

-- Other forms of numbers (Brazil, Mexico, Argentina): whose consent is asked looks
-- here, and mostly in vain.
CREATE INDEX contacts_other_form_idx ON campaign.contacts (match_key) WHERE phone <> match_key;
