// Package secret resolves references to keys: env:NAME or file:PATH. Keys are
// never in the database, so the program that makes a call resolves them (design
// §10). It must not know what a key is for, and no error of it holds one.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// maxSize bounds a key file: the provider's keys have some tens of characters.
const maxSize = 4096

// Resolve gives the key that a reference names. what names it in errors, such as
// "the key of channel sales-eu". It returns ErrSecret. warning is not empty when
// the file can be read by every user of the machine.
func Resolve(what, ref string) (key, warning string, err error) {
	key, warning, err = lookUp(what, ref)
	if err != nil {
		return "", "", err
	}
	key = strings.TrimRight(key, "\r\n")
	switch {
	case strings.TrimSpace(key) == "":
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is empty", what, ref), "")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", "", campaign.ErrSecret.With(
			fmt.Sprintf("%s: %s holds blanks, line breaks or characters outside ASCII", what, ref),
			"a key is one word: was more than the key copied?")
	}
	return key, warning, nil
}

func lookUp(what, ref string) (key, warning string, err error) {
	if err := Check(what, ref); err != nil {
		return "", "", err
	}
	scheme, name, _ := strings.Cut(ref, ":")
	if scheme == "env" {
		value, found := os.LookupEnv(name)
		if !found {
			return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: the environment variable %s is not set here", what, name),
				"export "+name+" for this program too")
		}
		return value, "", nil
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: there is no file %s here", what, name), "")
	case err != nil:
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s cannot be read by this user", what, name), "")
	case info.IsDir():
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is a folder", what, name), "")
	case info.Size() > maxSize:
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s is too large for a key", what, name), "")
	case info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0:
		warning = fmt.Sprintf("%s: %s can be read by every user of this machine: chmod 600 it", what, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", "", campaign.ErrSecret.With(fmt.Sprintf("%s: %s cannot be read by this user", what, name), "")
	}
	return string(data), warning, nil
}

// Check checks the form of a reference, without resolving it.
func Check(what, ref string) error {
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
