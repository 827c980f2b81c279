package main

import "github.com/campaignd/campaignd/internal/secret"

// secret resolves a reference to a key or a secret here. what names it in
// messages, such as "the key of channel sales-eu". It returns ErrSecret.
func (p *program) secret(what, ref string) (string, error) {
	key, warning, err := secret.Resolve(what, ref)
	if warning != "" {
		p.warn("warning: %s", warning)
	}
	return key, err
}
