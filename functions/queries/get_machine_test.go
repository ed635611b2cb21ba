package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetMachine(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnMachineCreated{Consumers: m.Consumers}.Project, events.MachineCreated{Machine: lobby})

	resource, err := m.GetMachine(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	assert.Equal(t, lobby, resource.Data.Machine)
	fields := shown(t, resource)
	assert.Equal(t, id, fields["id"])
	assert.Equal(t, id, fields["eventId"], "the ids of this test are equal")
	assert.Equal(t, "2026-11-23T06:01:00.000Z", fields["createdAt"])
	assert.Equal(t, "Berlin", fields["city"])

	_, err = m.GetMachine(t.Context(), queries.ByID{ID: "missing"})
	isMissing(t, err)
}
