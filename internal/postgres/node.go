package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/node_beat.sql
	nodeBeatSQL string
	//go:embed sql/node_list.sql
	nodeListSQL string
)

// BeatNode says that a node runs, and for how long it has. It also forgets nodes
// that were silent for a day.
func (s *Store) BeatNode(ctx context.Context, n campaign.Node, up time.Duration) error {
	if n.Channels == nil {
		n.Channels = []campaign.ChannelID{}
	}
	_, err := s.pool.Exec(ctx, nodeBeatSQL, pgx.StrictNamedArgs{"name": n.Name, "host": n.Host, "pid": n.PID, "version": n.Version,
		"roles": n.Roles, "listen": n.Listen, "channels": n.Channels, "up": up.Seconds()})
	if err != nil {
		return fmt.Errorf("write the node's heartbeat: %w", translate(err))
	}
	return nil
}

// DropNode forgets a node that stopped cleanly.
func (s *Store) DropNode(ctx context.Context, name string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM campaign.nodes WHERE name = $1`, name); err != nil {
		return fmt.Errorf("forget the node: %w", translate(err))
	}
	return nil
}

// Nodes lists the daemons, by host and then by age, lost ones included.
func (s *Store) Nodes(ctx context.Context) ([]campaign.NodeStatus, error) {
	nodes, err := collectStructs[campaign.NodeStatus](s.pool.Query(ctx, nodeListSQL, pgx.StrictNamedArgs{"lost": campaign.NodeLost.Seconds()}))
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", translate(err))
	}
	return nodes, nil
}
