package program

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// replay projects a part of a topic into another read model, and announces and commits nothing.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var posted []Accepted
	for n := range 5 {
		posted = append(posted, s.Post("/contacts", contactWith(t, "message", fmt.Sprint(n))))
	}
	Handled(t, s.Kafka, "contact-created", "notification")
	file := filepath.Join(t.TempDir(), "other.db")
	other := &Fleet{t, s.Kafka, file}
	missing := other.Run("replay", "--consumer", "sipeat-contact-consumer")
	assert.Equal(t, 1, missing.Status)
	assert.Contains(t, missing.Stderr, "STORE: ")
	model, err := sqlite.Open(t.Context(), file)
	require.NoError(t, err)
	defer model.Close()
	readable := func(id string) bool {
		_, err := model.Get(t.Context(), "contact-created", id)
		return err == nil
	}
	replay := func(arguments ...string) string {
		got := other.Run(append([]string{"replay", "--consumer", "sipeat-contact-consumer"}, arguments...)...)
		require.Equal(t, 0, got.Status, got.Stderr)
		return got.Stdout
	}
	one := posted[3]
	assert.Contains(t, replay("--key", one.ID), "Projected 1 event of contact-created again; 0 rejected.")
	assert.True(t, readable(one.ID))
	assert.False(t, readable(posted[2].ID))
	assert.Contains(t, replay("--from", "2100-01-01T00:00:00Z"), "Projected 0 events")
	assert.Contains(t, replay("--to", "2000-01-01T00:00:00Z"), "Projected 0 events")
	at := []string{"--partition", fmt.Sprint(posted[0].Partition), "--from", fmt.Sprint(posted[0].Offset)}
	assert.Contains(t, replay(append(at, "--to", fmt.Sprint(posted[0].Offset+1))...), "Projected 1 event ")
	assert.True(t, readable(posted[0].ID))
	assert.Contains(t, replay("--from", "2000-01-01T00:00:00Z"), "Projected 5 events")
	value := []byte(`{"eventId":"e","eventType":"contact-created","data":{"id":"keyless"},"metadata":{"producer":"sipeat-app"}}`)
	for _, key := range [][]byte{nil, {}} { // to JavaScript, both are none
		record := &kgo.Record{Topic: "contact-created", Key: key, Value: value}
		require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), record).FirstErr())
	}
	assert.Contains(t, replay("--key", "keyless"), "Projected 2 events ")
	for _, wrong := range [][]string{{"--consumer", "x"}, {"--consumer", "sipeat-contact-consumer", "--topic", "notification"},
		{"--consumer", "sipeat-contact-consumer", "--from", "-1"}, {},
		{"--consumer", "sipeat-contact-consumer", "--from", "2", "--to", "1"},
		{"--consumer", "sipeat-contact-consumer", "--partition", "6"}, {"--consumer", "sipeat-contact-consumer", "--partition", "-2"},
		{"--consumer", "sipeat-contact-consumer", "--from", "2026-11-27T08:00:00Z", "--to", "2026-11-26T08:00:00Z"}} {
		assert.Equal(t, 2, other.Run(append([]string{"replay"}, wrong...)...).Status, "%v", wrong)
	}
	assert.Len(t, Records(t, s.Kafka, "notification"), len(posted))

	require.NoError(t, model.Advance(t.Context(), "projection", nil, map[int32]int64{0: 2}))
	assert.Contains(t, other.Run("replay", "--consumer", "sipeat-contact-consumer", "--key", one.ID).Stderr, "version 2")
	worker := Start(t, other.command("worker"))
	assert.Equal(t, 1, worker.Wait(), "it would mix two versions")
	assert.Contains(t, worker.Stderr.String(), "run `sipeat rebuild`")
	s.Stop(syscall.SIGTERM)
}
