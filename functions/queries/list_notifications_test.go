package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestListNotifications(t *testing.T) {
	m := open(t)
	add := func(about string) string {
		notice := notice
		notice.Type = about
		return given(m, (&consumers.OnNotification{Consumers: m.Consumers}).Project, events.Notification{Notice: notice})
	}
	machine, request := add("machine"), add("request")
	m.delivered(machine)

	page, err := m.ListNotifications(t.Context(), queries.Notifications{Page: queries.Page{Limit: 9}})
	found, _ := ids(t, page, err)
	assert.Equal(t, []string{request, machine}, found)
	assert.Empty(t, summary(t, page.Items[0]))
	assert.Equal(t, "discord failed refused, log pending, smtp delivered", summary(t, page.Items[1]))
	page, err = m.ListNotifications(t.Context(), queries.Notifications{Page: queries.Page{Limit: 9}, Type: "machine"})
	found, _ = ids(t, page, err)
	assert.Equal(t, []string{machine}, found)
}
