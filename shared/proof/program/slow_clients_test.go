package program

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A slow or vanishing client affects its own connection only.
func TestSlowAndVanishingClientsAffectNoOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var slow []*connection
	for range 20 {
		slow = append(slow, s.beginPost())
		s.beginPost().Close()
		gone := s.dial()
		gone.send("GET /contacts/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=20\r\n\r\n")
		gone.Close()
	}
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	for _, c := range slow {
		assert.Equal(t, http.StatusAccepted, c.completePost())
	}
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 21, "half a request is none")
}
