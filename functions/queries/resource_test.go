package queries_test

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bare is a payload with empty fields.
type bare struct{ events.Base }

func (bare) Topic() string { return "bare" }

func TestResourceIsOneObject(t *testing.T) {
	b, err := json.Marshal(queries.Resource[bare]{EventID: "e", CreatedAt: events.At(began)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"eventId":"e","createdAt":"2026-11-23T06:00:00.000Z"}`, string(b))
	b, err = json.Marshal(queries.Resource[bare]{Data: bare{events.Base{ID: "i"}}, EventID: "e", CreatedAt: events.At(began)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"i","eventId":"e","createdAt":"2026-11-23T06:00:00.000Z"}`, string(b))
}
