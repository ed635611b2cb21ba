package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetNotification(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnNotification{Consumers: m.Consumers}.Project, events.Notification{Notice: notice})

	resource, err := m.GetNotification(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	assert.Equal(t, notice, resource.Data.Notice)
	fields := shown(t, resource)
	assert.Equal(t, id, fields["id"])
	assert.Equal(t, id, fields["eventId"], "the ids of this test are equal")
	assert.Equal(t, "2026-11-23T06:01:00.000Z", fields["createdAt"])
	assert.Equal(t, "machine-1", fields["subjectId"])
	assert.Equal(t, []any{}, fields["deliveries"], "no channel was tried")

	m.delivered(id)
	resource, err = m.GetNotification(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	assert.Equal(t, "discord failed refused, log pending, smtp delivered", summary(t, resource))

	_, err = m.GetNotification(t.Context(), queries.ByID{ID: "missing"})
	isMissing(t, err)
}
