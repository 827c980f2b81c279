// Package migrations embeds the numbered SQL files of schema campaign, and
// nothing else. They go forward only, are never edited once released, and work
// with the code before and after them.
package migrations

import "embed"

// Files holds NNNN_name.sql, applied in the order of their names.
//
//go:embed *.sql
var Files embed.FS
