package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/campaignd/campaignd/internal/campaign"
)

// The exit codes (design §11).
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitNotFound  = 3
	exitForbidden = 4
	exitConflict  = 5
	exitFindings  = 6
	exitGuard     = 7
	exitTimeout   = 8
	// exitPipe is what a program has that SIGPIPE ended: 128 + 13.
	exitPipe = 141
)

// kindTimeout and kindFindings end a command that did its work: waiting took too
// long, or something was found that a script must know of.
const (
	kindTimeout  campaign.Kind = "timeout"
	kindFindings campaign.Kind = "findings"
)

// exitCodes is the one table from what went wrong to how the program ends.
var exitCodes = map[campaign.Kind]int{
	campaign.Unavailing: exitError,
	campaign.Invalid:    exitUsage,
	campaign.NotFound:   exitNotFound,
	campaign.Forbidden:  exitForbidden,
	campaign.Conflict:   exitConflict,
	kindFindings:        exitFindings,
	campaign.Guarded:    exitGuard,
	kindTimeout:         exitTimeout,
}

var (
	errFindings = &campaign.Error{Code: "findings", Kind: kindFindings}
	errTimeout  = &campaign.Error{Code: "timeout", Kind: kindTimeout}
	// errUsageShown ends with the usage code when the help was the message.
	errUsageShown = &campaign.Error{Code: "usage", Kind: campaign.Invalid}
)

// findings ends a command with exit code 6.
func findings(format string, args ...any) error {
	return errFindings.With(fmt.Sprintf(format, args...), "")
}

// usage is a command line that cannot be carried out.
func usage(hint, format string, args ...any) error {
	return campaign.ErrInvalid.With(fmt.Sprintf(format, args...), hint)
}

// failed is an error of the world, exit code 1, with its remedy.
func failed(hint, format string, args ...any) error {
	return (&campaign.Error{Code: "failed", Kind: campaign.Unavailing}).With(fmt.Sprintf(format, args...), hint)
}

// fileError tells apart a file that is not there from one that may not be read.
func fileError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return campaign.ErrNotFound.With(fmt.Sprintf("there is no file %s", name), "")
	case errors.Is(err, fs.ErrPermission):
		return campaign.ErrForbidden.With(fmt.Sprintf("%s may not be read or written by this user", name), "")
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return failed("", "%s: %s", name, err)
}

// badValue puts the flag library's complaint about a value into our words.
func badValue(err error) error {
	text := err.Error()
	text = strings.TrimSuffix(text, ": parse error")
	text = strings.Replace(text, " for flag -", " for -", 1)
	text = strings.Replace(text, " for -", " for --", 1)
	if text == "" {
		return err
	}
	return campaign.ErrInvalid.With(strings.ToLower(text[:1])+text[1:], "see the command's --help")
}

// exit says what went wrong, in one line, and gives the exit code.
func (p *program) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitPipe // the reader has what it wanted
	}
	var known *campaign.Error
	hint := ""
	code := exitError
	if errors.As(err, &known) {
		code, hint = exitCodes[known.Kind], known.Hint
		if code == 0 {
			code = exitError
		}
	} else if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if text := oneLine(err.Error()); text != "" {
		fmt.Fprintf(p.stderr, "campaignctl: %s\n", text)
	}
	if hint != "" {
		fmt.Fprintf(p.stderr, "hint: %s\n", oneLine(hint))
	}
	return code
}
