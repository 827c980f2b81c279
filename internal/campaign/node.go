package campaign

import "time"

// NodeLost is how long a node may be silent before it is shown as lost: three
// times the period of its heartbeat.
const NodeLost = 15 * time.Second

// Node is a daemon as it describes itself.
type Node struct {
	Name     string // unique among all that ever ran; also names its shares and its River client
	Host     string
	PID      int
	Version  string
	Roles    []string
	Listen   string // where it takes webhooks and health checks, host:port
	Channels []ChannelID
}

// NodeStatus is a daemon as the others see it. The times are the database's.
type NodeStatus struct {
	Name      string        `json:"name"`
	Host      string        `json:"host"`
	PID       int           `json:"pid"`
	State     string        `json:"state"`  // NodeRunning or NodeIsLost
	Leader    bool          `json:"leader"` // of River: it schedules and rescues jobs
	Version   string        `json:"version"`
	Roles     []string      `json:"roles"`
	Listen    string        `json:"listen"`
	Rate      float64       `json:"rate"` // messages per second that it sends now
	Channels  []NodeChannel `json:"channels"`
	StartedAt time.Time     `json:"started_at"`
	SeenAt    time.Time     `json:"seen_at"`
}

// The states of a node. One that stopped cleanly is in no list.
const (
	NodeRunning = "running"
	NodeIsLost  = "lost"
)

// NodeChannel is what a node does for a channel. Rates are in messages per second.
type NodeChannel struct {
	Channel string   `json:"channel"`
	Limit   *float64 `json:"limit"` // of all nodes together, slowed down or not; nil without a limit
	Share   *float64 `json:"share"` // what this node may use of it; nil without a limit or lease
	Rate    float64  `json:"rate"`  // what it sends now
}
