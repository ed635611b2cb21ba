package program

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Following the cursor returns each item that existed at the start once, newest first, while items are added. Filters
// narrow a list.
func TestListsArePagedAndFilteredWhileTheyGrow(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	machine := func(city string) string {
		a := s.Post("/machines", with(t, aMachine, map[string]any{"city": city}))
		s.Readable("/machines", a.ID)
		return a.ID
	}
	var want []string
	for range 11 {
		want = append(want, machine("Berlin"))
	}
	var got []string
	last, query := "9", "?limit=4"
	for pages := 1; ; pages++ {
		a := Call(t, "GET", s.URL+"/machines"+query, "")
		require.Equal(t, http.StatusOK, a.Status, a.Body)
		p := Decoded[page](t, a.Body)
		for _, item := range p.Items {
			require.LessOrEqual(t, item["createdAt"].(string), last)
			last = item["createdAt"].(string)
			got = append(got, item["id"].(string))
		}
		if p.NextCursor == nil {
			assert.Equal(t, 3, pages)
			break
		}
		query = "?limit=4&cursor=" + url.QueryEscape(*p.NextCursor)
		machine("Bonn")
	}
	assert.ElementsMatch(t, want, got)
	assert.Len(t, s.Pages("/machines", "", 5), 13)
	assert.Len(t, s.Pages("/machines", "city=bonn&since=2020-01-01&", 1), 2)
	assert.Empty(t, s.Pages("/machines", "city=Bonn&since=9999-01-01&", 1))

	elsewhere := Call(t, "GET", s.URL+"/contacts"+query, "")
	assert.Equal(t, http.StatusBadRequest, elsewhere.Status, "a cursor belongs to its query")
	assert.Equal(t, []string{"/cursor"}, Decoded[Problem](t, elsewhere.Body).Pointers())
}

func TestDemandCountsRequestsPerDrinkAndPlace(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, r := range []struct {
		city   string
		drinks []string
	}{
		{"Berlin", []string{"Club Mate", "Tea"}},
		{"Berlin", []string{"club mate ", "CLUB MATE"}}, // one request counts once for each drink, in any spelling
		{"Bonn", []string{"Tea"}},
	} {
		a := s.Post("/requests", with(t, aRequest, map[string]any{"country": "Germany", "city": r.city, "drinksList": r.drinks}))
		s.Readable("/requests", a.ID)
	}
	rows := func(query string) (all []string) {
		for _, d := range s.Pages("/demand", query, 2) {
			all = append(all, fmt.Sprintf("%v/%v %v", d["city"], d["drink"], d["count"]))
		}
		return all
	}
	assert.Equal(t, []string{"Berlin/Club Mate 2", "Berlin/Tea 1", "Bonn/Tea 1"}, rows("country=GERMANY&"))
	assert.Equal(t, []string{"Bonn/Tea 1"}, rows("city=Bonn&"))
}

// A slow or vanishing client affects its own connection only.
func TestSlowAndVanishingClientsAffectNoOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var slow []*connection
	for range 20 {
		slow = append(slow, s.beginPost())
		s.beginPost().Close()
		gone := s.dial()
		gone.send("GET /contacts/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=20\r\n\r\n")
		gone.Close()
	}
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	for _, c := range slow {
		assert.Equal(t, http.StatusAccepted, c.completePost())
	}
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 21, "half a request is none")
	announced := s.dial()
	announced.send("POST /contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" +
		"Content-Length: 1000000000\r\n\r\n")
	assert.Equal(t, http.StatusRequestEntityTooLarge, announced.answered())
}
