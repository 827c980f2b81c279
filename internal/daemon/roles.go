package daemon

import (
	"fmt"
	"strings"
)

// Roles are what a node does. Every node knows every kind of job, so any can
// lead; its roles choose only what it works.
type Roles struct{ Send, Webhook, Schedule bool }

// AllRoles is a node that does everything.
func AllRoles() Roles { return Roles{true, true, true} }

// ParseRoles reads names divided by commas: any of send, webhook, schedule, or
// all.
func ParseRoles(text string) (Roles, error) {
	var r Roles
	for _, name := range strings.Split(text, ",") {
		switch strings.TrimSpace(name) {
		case "send":
			r.Send = true
		case "webhook":
			r.Webhook = true
		case "schedule":
			r.Schedule = true
		case "all":
			return AllRoles(), nil
		default:
			return r, fmt.Errorf("%q is not a role: give any of send, webhook, schedule", name)
		}
	}
	return r, nil
}
