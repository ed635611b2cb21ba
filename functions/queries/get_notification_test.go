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
	id := given(m, (&consumers.OnNotification{Consumers: m.Consumers}).Project, events.Notification{Notice: notice})
	data, fields := getBy(t, id, m.GetNotification)
	assert.Equal(t, notice, data.Notice)
	assert.Equal(t, []any{}, fields["deliveries"], "no channel was tried")

	m.delivered(id)
	resource, err := m.GetNotification(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	assert.Equal(t, "discord failed refused, log pending, smtp delivered", summary(t, resource))
}
