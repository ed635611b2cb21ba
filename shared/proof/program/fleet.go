package program

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Fleet is an installation on servers: a Kafka with the topics, and processes that share one read model.
type Fleet struct {
	T       testing.TB
	Brokers string
	Store   string
}

// Member is a running `sipeat worker`.
type Member struct{ *Process }

// Contacts writes a contact into each partition and returns the event ids.
func (f *Fleet) Contacts() (ids []string) {
	f.T.Helper()
	c := client(f.T, f.Brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var records []*kgo.Record
	for partition := range int32(6) {
		id := "flow-" + strings.ToLower(rand.Text())
		ids = append(ids, id)
		records = append(records, &kgo.Record{Topic: "contact-created", Partition: partition,
			Value: fmt.Appendf(nil, `{"eventId":%q,"eventType":"contact-created",`+
				`"data":{"id":%q,"name":"Canary Lovelace","timestamp":"2026-11-23T06:54:21.123Z"},`+
				`"metadata":{"producer":"sipeat-app"}}`, id, id)})
	}
	require.NoError(f.T, c.ProduceSync(Within(f.T), records...).FirstErr())
	return ids
}

// WasDone reports whether a log shows the event as done.
func WasDone(said, id string) bool {
	return regexp.MustCompile("event_id=" + id + " group=[a-z-]+ outcome=done").MatchString(said)
}

// Handles waits until the worker has logged each of these events as done.
func (m *Member) Handles(ids []string) {
	m.T.Helper()
	Until(m.T, func() error {
		said := m.Stderr.String()
		for _, id := range ids {
			if !WasDone(said, id) {
				return errors.New(id + " is not handled")
			}
		}
		return nil
	})
}
