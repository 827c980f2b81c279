package queue

import "encoding/json"

// Enqueue is the queue of jobs by which services ask for messages.
const Enqueue = "enqueue"

// EnqueueMessage is the job that a service inserts with River's insert-only
// client instead of calling campaign.enqueue. Its arguments are an object whose
// keys are that function's (design §10); the database reads and checks them, so
// here they stay as they were written. The kind is a contract.
type EnqueueMessage struct{ json.RawMessage }

// Kind names the job in river_job.
func (EnqueueMessage) Kind() string { return "enqueue_message" }
