package queries_test

import (
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestListContacts(t *testing.T) {
	m := open(t)
	add := func() string {
		return given(m, consumers.OnContactCreated{Consumers: m.Consumers}.Project, events.ContactCreated{Contact: ada})
	}
	first, second, third := add(), add(), add()

	page, err := m.ListContacts(t.Context(), queries.Page{Limit: 2})
	found, more := ids(t, page, err)
	assert.Equal(t, []string{third, second}, found, "newest first")
	assert.True(t, more)
	add() // newer resources are not on the following pages
	page, err = m.ListContacts(t.Context(), queries.Page{Limit: 2, Cursor: *page.NextCursor})
	found, more = ids(t, page, err)
	assert.Equal(t, []string{first}, found)
	assert.False(t, more)

	page, err = m.ListContacts(t.Context(), queries.Page{Limit: 9, Since: began.Add(3 * time.Minute)})
	found, _ = ids(t, page, err)
	assert.Len(t, found, 2, "since is inclusive")

	_, err = m.ListContacts(t.Context(), queries.Page{Limit: 2, Cursor: "made up"})
	assert.Equal(t, events.Invalid, events.KindOf(err))
}
