package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetDemand(t *testing.T) {
	m := open(t)
	add := func(city, country string, drinks ...string) {
		request := thirst
		request.City, request.Country, request.DrinksList = city, country, drinks
		given(m, consumers.OnRequestCreated{Consumers: m.Consumers}.Project, events.RequestCreated{Request: request})
	}
	add("Berlin", "Germany", "Mate", "Espresso")
	add("berlin", "Germany", "mate", "Mate") // a request counts once for a drink, however it is spelt
	add("Paris", "France", "Espresso")

	berlin := []store.Demand{
		{Country: "Germany", City: "Berlin", Drink: "Espresso", Count: 1},
		{Country: "Germany", City: "Berlin", Drink: "Mate", Count: 2},
	}
	paris := store.Demand{Country: "France", City: "Paris", Drink: "Espresso", Count: 1}

	all, err := m.GetDemand(t.Context(), queries.Demand{Limit: 9})
	require.NoError(t, err)
	assert.Equal(t, append([]store.Demand{paris}, berlin...), all.Items)
	assert.Nil(t, all.NextCursor)

	some, err := m.GetDemand(t.Context(), queries.Demand{Limit: 9, Country: "germany", City: "Berlin"})
	require.NoError(t, err)
	assert.Equal(t, berlin, some.Items)

	first, err := m.GetDemand(t.Context(), queries.Demand{Limit: 2})
	require.NoError(t, err)
	rest, err := m.GetDemand(t.Context(), queries.Demand{Limit: 2, Cursor: *first.NextCursor})
	require.NoError(t, err)
	assert.Equal(t, all.Items, append(first.Items, rest.Items...))
}
