package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestGetContact(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnContactCreated{Consumers: m.Consumers}.Project, events.ContactCreated{Contact: ada})
	data, fields := getBy(t, id, m.GetContact)
	assert.Equal(t, ada, data.Contact)
	assert.NotContains(t, fields, "companyName", "an empty optional field is absent")
}
