package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestListMachines(t *testing.T) {
	m := open(t)
	add := func(city, country string) string {
		machine := lobby
		machine.City, machine.Country = city, country
		return given(m, consumers.OnMachineCreated{Consumers: m.Consumers}.Project, events.MachineCreated{Machine: machine})
	}
	berlin, paris, texas := add("Berlin", "Germany"), add("Paris", "France"), add("Paris", "USA")
	for _, c := range []struct {
		ask  queries.Machines
		want []string
	}{
		{queries.Machines{}, []string{texas, paris, berlin}},
		{queries.Machines{City: "paris"}, []string{texas, paris}},
		{queries.Machines{Country: "GERMANY"}, []string{berlin}},
		{queries.Machines{City: "Paris", Country: "France"}, []string{paris}},
		{queries.Machines{City: "Rome"}, nil},
	} {
		c.ask.Limit = 9
		page, err := m.ListMachines(t.Context(), c.ask)
		found, _ := ids(t, page, err)
		assert.Equal(t, c.want, found, "%+v", c.ask)
	}
}
