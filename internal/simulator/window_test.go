package simulator

import (
	"testing"
	"time"
)

func TestTextsAreTakenInsideAServiceWindowOnly(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	const text = `{"messaging_product":"whatsapp","to":"+491701234567","type":"text","text":{"body":"hello"},"biz_opaque_callback_data":"d/confirmation/1"}`
	if status, body, _ := call(t, "POST", s.URL()+"/messages", "", text); status != 400 || codeOf(body) != 131047 {
		t.Errorf("before the person wrote: %d %v", status, body)
	}
	call(t, "POST", s.URL()+"/simulator/inbound", "", `{"from":"+491701234568","text":"STOP"}`)
	if status, body, _ := call(t, "POST", s.URL()+"/messages", "", text); status != 400 || codeOf(body) != 131047 {
		t.Errorf("after somebody else wrote: %d %v", status, body)
	}
	call(t, "POST", s.URL()+"/simulator/inbound", "", `{"from":"+491701234567","text":"STOP"}`)
	if status, body, _ := call(t, "POST", s.URL()+"/messages", "", text); status != 200 {
		t.Errorf("after the person wrote: %d %v", status, body)
	}
	entries, _ := s.Ledger().Entries()
	if len(entries) != 3 || entries[0].Outcome != "refused:131047" || entries[2].Outcome != "accepted" || entries[2].Opaque != "d/confirmation/1" || entries[2].ID == "" {
		t.Errorf("the ledger has %+v", entries)
	}
}

func TestServiceWindowsClose(t *testing.T) {
	t.Parallel()
	var p people
	now := time.Now()
	p.heard(7, now)
	if !p.open(7, now.Add(24*time.Hour-time.Second)) || p.open(7, now.Add(24*time.Hour)) || p.open(8, now) {
		t.Error("a window is open for 24 hours from the person's last message")
	}
}
