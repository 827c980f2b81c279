package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// maxSecret bounds a key file: the provider's keys have some tens of characters.
const maxSecret = 4096

// secret resolves a reference to a key or a secret: env:NAME or file:PATH (design
// §10: keys are never in the database). what names it in errors, such as "the
// key of channel sales-eu". It returns ErrSecret; no error holds the secret.
func (p *program) secret(what, ref string) (string, error) {
	value, err := p.lookUp(what, ref)
	if err != nil {
		return "", err
	}
	value = strings.TrimRight(value, "\r\n")
	switch {
	case strings.TrimSpace(value) == "":
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is empty", what, ref), "")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", campaign.ErrSecret.With(
			fmt.Sprintf("%s: %s holds blanks, line breaks or characters outside ASCII", what, ref),
			"a key is one word: was more than the key copied?")
	}
	return value, nil
}

func (p *program) lookUp(what, ref string) (string, error) {
	if err := checkRef(what, ref); err != nil {
		return "", err
	}
	scheme, name, _ := strings.Cut(ref, ":")
	if scheme == "env" {
		value, found := os.LookupEnv(name)
		if !found {
			return "", campaign.ErrSecret.With(fmt.Sprintf("%s: the environment variable %s is not set here", what, name),
				"export "+name+" for this program too")
		}
		return value, nil
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: there is no file %s here", what, name), "")
	case err != nil:
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s cannot be read by this user", what, name), "")
	case info.IsDir():
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is a folder", what, name), "")
	case info.Size() > maxSecret:
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is too large for a key", what, name), "")
	case info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0:
		p.warn("%s: %s can be read by every user of this machine: chmod 600 it", what, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s cannot be read by this user", what, name), "")
	}
	return string(data), nil
}

// checkRef checks the form of a reference, without resolving it.
func checkRef(what, ref string) error {
	scheme, name, _ := strings.Cut(ref, ":")
	if name == "" || scheme != "env" && scheme != "file" {
		// The text is not repeated: it may be the key itself.
		return campaign.ErrSecret.With(what+" is not a reference",
			"give env:NAME for an environment variable or file:PATH for a file, never the key itself")
	}
	if scheme == "env" && strings.ContainsAny(name, "= \t") {
		return campaign.ErrSecret.With(what+" does not name an environment variable", "as in env:D360_KEY")
	}
	return nil
}
