package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/secret"
)

func TestResolve(t *testing.T) {
	t.Setenv("SECRET_TEST_KEY", "k3y")
	t.Setenv("SECRET_TEST_BLANK", "two words")
	t.Setenv("SECRET_TEST_EMPTY", "")
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ name, ref, key, err string }{
		{"Environment", "env:SECRET_TEST_KEY", "k3y", ""},
		{"File", "file:" + write("key", "k3y\r\n", 0o600), "k3y", ""},
		{"Unset", "env:SECRET_TEST_UNSET", "", "is not set here"},
		{"Empty", "env:SECRET_TEST_EMPTY", "", "is empty"},
		{"Blank", "env:SECRET_TEST_BLANK", "", "holds blanks"},
		{"NoFile", "file:" + filepath.Join(dir, "nothing"), "", "there is no file"},
		{"Folder", "file:" + dir, "", "is a folder"},
		{"TooLarge", "file:" + write("large", strings.Repeat("x", 5000), 0o600), "", "too large"},
		{"TheKeyItself", "k3y", "", "is not a reference"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, _, err := secret.Resolve("the key", test.ref)
			if key != test.key || (err == nil) != (test.err == "") {
				t.Fatalf("%q, %v", key, err)
			}
			if err != nil && (!errors.Is(err, campaign.ErrSecret) || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "k3y")) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, warning, err := secret.Resolve("the key", "file:"+write("open", "k3y", 0o644)); err != nil || warning == "" {
		t.Errorf("a file that everybody can read: %q, %v", warning, err)
	}
}
