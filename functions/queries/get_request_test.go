package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetRequest(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnRequestCreated{Consumers: m.Consumers}.Project, events.RequestCreated{Request: thirst})

	resource, err := m.GetRequest(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	assert.Equal(t, thirst, resource.Data.Request)
	fields := shown(t, resource)
	assert.Equal(t, id, fields["id"])
	assert.Equal(t, id, fields["eventId"], "the ids of this test are equal")
	assert.Equal(t, "2026-11-23T06:01:00.000Z", fields["createdAt"])
	assert.Equal(t, []any{"Espresso", "Mate"}, fields["drinksList"])

	_, err = m.GetRequest(t.Context(), queries.ByID{ID: "missing"})
	isMissing(t, err)
}
