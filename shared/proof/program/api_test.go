package program

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A body is read back as it was accepted, and an Idempotency-Key makes a retry the same event.
func TestIdempotencyKeyMakesARetryTheSameEvent(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const key = "Idempotency-Key: 0d4a9f1e"
	for _, e := range endpoints {
		first := s.Post(e.path, e.body, key)
		assert.Equal(t, e.topic, first.Topic)
		again := s.Post(e.path, " "+strings.Replace(e.body, ",", " ,\n", 1), key)
		again.Offset = first.Offset
		assert.Equal(t, first, again, "white space is ignored")
		otherBody := strings.NewReplacer("Ada", "Zoë 🥤", "Hall", "<b>&", "Alan", "彼女", "Somebody", "O'Neill").Replace(e.body)
		other, unkeyed := s.Post(e.path, otherBody, key), s.Post(e.path, e.body)
		for _, c := range []struct {
			Accepted
			body string
		}{{first, e.body}, {other, otherBody}, {unkeyed, e.body}} {
			got := s.Readable(e.path, c.ID)
			assert.Equal(t, c.EventID, got["eventId"])
			for field, value := range Decoded[Thing](t, c.body) {
				assert.Equal(t, value, got[field])
			}
		}
		Handled(t, s.Kafka, e.topic)
		mine := slices.DeleteFunc(s.Pages(e.path, "", 100), func(item Thing) bool { // without notifications derived from the others
			return e.topic == "notification" && item["subjectId"] != "c-1"
		})
		assert.Len(t, mine, 3, e.path)
	}
	assert.Len(t, s.Pages("/notifications", "type=contact&", 100), 3+3, "a repeat announces nothing")
	demand := s.Pages("/demand", "", 10)
	require.Len(t, demand, 1)
	assert.InEpsilon(t, 3, demand[0]["count"], 0.01)
}

// A slow or vanishing client affects its own connection only.
func TestSlowAndVanishingClientsAffectNoOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var slow []*connection
	for range 20 {
		slow = append(slow, s.beginPost())
		s.beginPost().Close()
		s.beginWait().Close()
	}
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	for _, c := range slow {
		assert.Equal(t, http.StatusAccepted, c.completePost())
	}
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 21, "half a request is none")
}
