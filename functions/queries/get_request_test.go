package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestGetRequest(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnRequestCreated{Consumers: m.Consumers}.Project, events.RequestCreated{Request: thirst})
	data, fields := getBy(t, id, m.GetRequest)
	assert.Equal(t, thirst, data.Request)
	assert.Equal(t, []any{"Espresso", "Mate"}, fields["drinksList"])
}
