package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestExitCodesAndMessages(t *testing.T) {
	t.Parallel()

	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	cases := []struct {
		name   string
		ctx    context.Context
		err    error
		code   int
		stderr string
	}{
		{"none", context.Background(), nil, 0, ""},
		{"unknown", context.Background(), errors.New("boom"), 1, "campaignctl: boom\n"},
		{"invalid", context.Background(), campaign.ErrInvalid.With("no", "yes"), 2, "campaignctl: no\nhint: yes\n"},
		{"wrapped", context.Background(), fmt.Errorf("find it: %w", campaign.ErrNotFound.With("not here", "there")), 3, "campaignctl: find it: not here\nhint: there\n"},
		{"forbidden", context.Background(), campaign.ErrForbidden, 4, "campaignctl: permission denied\n"},
		{"conflict", context.Background(), campaign.ErrConflict, 5, "campaignctl: the same name and key with other content\n"},
		{"findings", context.Background(), findings("%d rows", 3), 6, "campaignctl: 3 rows\n"},
		{"guard", context.Background(), campaign.ErrGuard, 7, "campaignctl: refused by a guard\n"},
		{"timeout", context.Background(), errTimeout.With("waited", ""), 8, "campaignctl: waited\n"},
		{"database", context.Background(), campaign.ErrNoDatabase, 1, "campaignctl: the database cannot be reached\n"},
		{"a kind of tomorrow", context.Background(), &campaign.Error{Kind: "new", Message: "odd"}, 1, "campaignctl: odd\n"},
		{"the reader has gone", context.Background(), fmt.Errorf("write: %w", syscall.EPIPE), 141, ""},
		{"interrupted", cancelled, fmt.Errorf("query: %w", context.Canceled), 1, "campaignctl: interrupted\n"},
		{"several lines", context.Background(), errors.New("one\ntwo"), 1, "campaignctl: one; two\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			var stderr bytes.Buffer
			p := newProgram(strings.NewReader(""), &bytes.Buffer{}, &stderr)
			if code := p.exit(c.ctx, c.err); code != c.code || stderr.String() != c.stderr {
				t.Errorf("exit code %d, stderr %q; want %d, %q", code, stderr.String(), c.code, c.stderr)
			}
		})
	}
}

func TestEveryKindOfErrorHasItsExitCode(t *testing.T) {
	t.Parallel()

	seen := map[int]campaign.Kind{}
	for kind, code := range exitCodes {
		if other, twice := seen[code]; twice {
			t.Errorf("%s and %s both end with %d", kind, other, code)
		}
		seen[code] = kind
	}
	for code := exitError; code <= exitTimeout; code++ {
		if seen[code] == "" {
			t.Errorf("no kind of error ends with %d", code)
		}
	}
}
