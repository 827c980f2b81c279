package daemon

import (
	"context"
	"log/slog"
)

// levelled passes records of at least a level: River's info lines tell of its
// own housekeeping.
type levelled struct {
	slog.Handler
	least slog.Level
}

func (l levelled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.least && l.Handler.Enabled(ctx, level)
}
func (l levelled) WithAttrs(a []slog.Attr) slog.Handler {
	return levelled{l.Handler.WithAttrs(a), l.least}
}
func (l levelled) WithGroup(g string) slog.Handler { return levelled{l.Handler.WithGroup(g), l.least} }
