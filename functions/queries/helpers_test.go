package queries_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var began = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

// model is a read model, filled as the consumers fill it: one event a minute.
type model struct {
	t *testing.T
	queries.Queries
	consumers.Consumers
	minutes int
}

func open(t *testing.T) *model {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read-model.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"), time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, claims.Close()) })
	return &model{t: t, Queries: queries.Queries{Store: s, Claims: claims}, Consumers: consumers.Consumers{Store: s}}
}

// given projects an event with this data, and returns the id of its resource.
func given[T events.Payload](m *model, project func(context.Context, events.Event[T]) error, data T) string {
	m.t.Helper()
	m.minutes++
	at := began.Add(time.Duration(m.minutes) * time.Minute)
	id := fmt.Sprintf("%s-%d", data.Topic(), m.minutes)
	factory := events.Factory{Now: func() time.Time { return at }, NewID: func() string { return id }}
	e, err := events.Make(factory, data)
	require.NoError(m.t, err)
	require.NoError(m.t, project(m.t.Context(), e))
	return id
}

// shown is a resource as the API returns it.
func shown(t *testing.T, resource any) map[string]any {
	t.Helper()
	b, err := json.Marshal(resource)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(b, &fields))
	return fields
}

// getBy gets the first resource of the test by its id, and as a caller sees it; an unknown id must not be found.
func getBy[T events.Payload](t *testing.T, id string, get func(context.Context, queries.ByID) (queries.Resource[T], error)) (
	T, map[string]any,
) {
	t.Helper()
	resource, err := get(t.Context(), queries.ByID{ID: id})
	require.NoError(t, err)
	fields := shown(t, resource)
	assert.Equal(t, id, fields["id"])
	assert.Equal(t, id, fields["eventId"], "the ids of a test are equal")
	assert.Equal(t, "2026-11-23T06:01:00.000Z", fields["createdAt"])

	_, err = get(t.Context(), queries.ByID{ID: "missing"})
	assert.Equal(t, events.NotFound, events.KindOf(err))
	return resource.Data, fields
}

// ids of the resources on a page, and whether there is another page.
func ids[T events.Payload](t *testing.T, page queries.List[T], err error) (found []string, more bool) {
	t.Helper()
	require.NoError(t, err)
	for _, resource := range page.Items {
		found = append(found, resource.Data.ResourceID())
	}
	return found, page.NextCursor != nil
}

// delivered marks the notification as delivered by smtp, failed by discord and pending for log.
func (m *model) delivered(id string) {
	m.t.Helper()
	claims, ok := m.Queries.Claims.(store.Claims)
	require.True(m.t, ok)
	for _, channel := range []string{"smtp", "discord", "log"} {
		_, _, err := claims.Claim(m.t.Context(), id, channel, time.Minute)
		require.NoError(m.t, err)
	}
	require.NoError(m.t, claims.Complete(m.t.Context(), id, "smtp"))
	require.NoError(m.t, claims.Fail(m.t.Context(), id, "discord", "refused"))
}

// summary is the deliveries of a notification as the API returns them, with a time once they have ended.
func summary(t *testing.T, notification any) string {
	t.Helper()
	var all []string
	for _, d := range shown(t, notification)["deliveries"].([]any) {
		d := d.(map[string]any)
		text := fmt.Sprint(d["channel"], " ", d["state"])
		if class, ok := d["class"]; ok {
			text += fmt.Sprint(" ", class)
		}
		assert.Equal(t, d["state"] == "pending", d["at"] == nil, text)
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

var (
	ada   = events.Contact{Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "A machine, please."}
	lobby = events.Machine{Name: "Lobby 1", Address: "Friedrichstraße 43", City: "Berlin", Country: "Germany",
		ContactName: "Konrad Zuse", ContactEmail: "konrad@example.com", ContactPhone: "+49 30 1234567"}
	thirst = events.Request{Name: "Grace Hopper", Email: "grace@example.com", Phone: "+1 (212) 555-0142", Address: "1 Harbor Way",
		City: "New York", Country: "USA", DrinksList: []string{"Espresso", "Mate"}, MachineID: "machine-1"}
	notice = events.Notice{Type: "machine", Message: "Lobby 1 is empty.", SubjectID: "machine-1"}
)
