package campaign

import "time"

// AuditEntry says who did what, when and why. It names no person: people are
// counted.
type AuditEntry struct {
	ID           int64     `json:"id"`
	At           time.Time `json:"at"`
	DatabaseUser string    `json:"database_user"` // as the database knows it
	OSUser       string    `json:"os_user" db:"os_user"`
	Host         string    `json:"host"`
	Program      string    `json:"program"`
	Action       string    `json:"action"`
	Object       string    `json:"object"` // campaign, channel, message, people …
	ObjectID     int64     `json:"object_id"`
	Name         string    `json:"name"`
	Detail       string    `json:"detail"`      // resend or fail, an error code, countries
	CampaignID   ID        `json:"campaign_id"` // 0 when it was about none
	Reason       string    `json:"reason"`
	PlanHash     string    `json:"plan_hash"`
	Count        int64     `json:"count"` // messages, people, or whatever the act changed
}
