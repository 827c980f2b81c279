// Package dialog360 turns our nouns into WhatsApp payloads for 360dialog and
// its answers and webhooks back into our nouns: requests, templates, events,
// and the catalogue that says what each of the provider's error codes means.
//
// It must not know how anything is stored (package postgres), when a message is
// sent or tried again (package sender), or who asked for it. What it learns from
// the provider it hands over as campaign values; nobody else looks at a
// provider's code or at the shape of a body.
package dialog360
