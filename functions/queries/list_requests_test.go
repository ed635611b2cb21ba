package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestListRequests(t *testing.T) {
	m := open(t)
	add := func(city, machine string) string {
		request := thirst
		request.City, request.MachineID = city, machine
		return given(m, consumers.OnRequestCreated{Consumers: m.Consumers}.Project, events.RequestCreated{Request: request})
	}
	one, two, three := add("Berlin", "m1"), add("Berlin", "m2"), add("Paris", "")
	for _, c := range []struct {
		ask  queries.Requests
		want []string
	}{
		{queries.Requests{}, []string{three, two, one}},
		{queries.Requests{City: "Berlin"}, []string{two, one}},
		{queries.Requests{MachineID: "m1"}, []string{one}},
		{queries.Requests{City: "Paris", Country: "usa"}, []string{three}},
		{queries.Requests{City: "Paris", MachineID: "m1"}, nil},
	} {
		c.ask.Limit = 9
		page, err := m.ListRequests(t.Context(), c.ask)
		found, _ := ids(t, page, err)
		assert.Equal(t, c.want, found, "%+v", c.ask)
	}
}
