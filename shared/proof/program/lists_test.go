package program

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Following the cursor visits all that was there at the start once, newest first, whatever is added meanwhile.
func TestListsArePagedWhileTheyGrow(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var want []string
	for n := range 11 {
		a := s.Post("/machines", with(t, aMachine, map[string]any{"name": fmt.Sprint("Hall ", n)}))
		want = append([]string{a.ID}, want...)
		s.Readable("/machines", a.ID)
	}
	var got []string
	ask := "?limit=4"
	for pages := 1; ; pages++ {
		a := Call(t, "GET", s.URL+"/machines"+ask, "")
		require.Equal(t, http.StatusOK, a.Status, a.Body)
		p := Decoded[page](t, a.Body)
		for _, item := range p.Items {
			got = append(got, item["id"].(string))
		}
		if p.NextCursor == nil {
			assert.Equal(t, 3, pages)
			break
		}
		ask = "?limit=4&cursor=" + url.QueryEscape(*p.NextCursor)
		s.Readable("/machines", s.Post("/machines", aMachine).ID)
	}
	assert.Equal(t, want, sortedByTime(t, s, got))
	assert.Len(t, s.Pages("/machines", "", 5), 13)

	elsewhere := Call(t, "GET", s.URL+"/contacts"+ask, "")
	assert.Equal(t, http.StatusBadRequest, elsewhere.Status, "a cursor belongs to its query")
	assert.Equal(t, []string{"/cursor"}, Decoded[Problem](t, elsewhere.Body).Pointers())
}

// sortedByTime checks that a list is newest first; things of one millisecond may stand either way.
func sortedByTime(t *testing.T, s *Serving, ids []string) []string {
	t.Helper()
	last := "9"
	for _, id := range ids {
		at := s.Readable("/machines", id)["createdAt"].(string)
		require.LessOrEqual(t, at, last)
		last = at
	}
	return ids
}

func TestListsCanBeNarrowed(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	machine := func(city, country string) string {
		a := s.Post("/machines", with(t, aMachine, map[string]any{"city": city, "country": country}))
		s.Readable("/machines", a.ID)
		return a.ID
	}
	berlin, bonn, paris := machine("Berlin", "Germany"), machine("Bonn", "Germany"), machine("Paris", "France")
	var after string
	Until(t, func() error { // the next is another millisecond
		after = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		if after <= s.Readable("/machines", paris)["createdAt"].(string) {
			return fmt.Errorf("it is still %s", after)
		}
		return nil
	})
	texas := machine("Paris", "USA")

	ask := s.Post("/requests", with(t, aRequest, map[string]any{"machineId": berlin, "city": "Berlin", "country": "Germany"}))
	other := s.Post("/requests", aRequest)
	s.Readable("/requests", ask.ID)
	s.Readable("/requests", other.ID)
	s.Readable("/notifications", s.Post("/notifications", aNotification).ID)
	for topic, group := range Groups {
		Handled(t, s.Kafka, group, topic)
	}
	Handled(t, s.Kafka, Groups["notification"], "notification")

	for _, c := range []struct {
		path, query string
		want        []string
	}{
		{"/machines", "", []string{texas, paris, bonn, berlin}},
		{"/machines", "city=Paris&", []string{texas, paris}},
		{"/machines", "city=paris&country=france&", []string{paris}},
		{"/machines", "country=Germany&", []string{bonn, berlin}},
		{"/machines", "country=Germany&city=Paris&", nil},
		{"/machines", "since=" + after + "&", []string{texas}},
		{"/machines", "since=2020-01-01&country=Germany&", []string{bonn, berlin}},
		{"/machines", "since=9999-01-01&", nil},
		{"/requests", "machineId=" + berlin + "&", []string{ask.ID}},
		{"/requests", "city=Milton+Keynes&", []string{other.ID}},
		{"/requests", "country=UK&since=2020-01-01T00:00:00%2B02:00&", []string{other.ID}},
	} {
		var got []string
		for _, item := range s.Pages(c.path, c.query, 3) {
			got = append(got, item["id"].(string))
		}
		assert.Equal(t, c.want, got, "%s?%s", c.path, c.query)
	}
	for of, n := range map[string]int{"machine": 4, "request": 2, "contact": 1} {
		assert.Len(t, s.Pages("/notifications", "type="+of+"&", 100), n, of)
	}
}

func TestDemandCountsWhoAsksForWhatAndWhere(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, r := range []struct {
		country, city string
		drinks        []string
	}{
		{"Germany", "Berlin", []string{"Club Mate", "Tea"}},
		{"Germany", "Berlin", []string{"club mate ", "CLUB MATE"}}, // one asks once for each drink, however often and however spelt
		{"germany", "Bonn", []string{"Tea"}},
		{"France", "Paris", []string{"Café"}},
	} {
		a := s.Post("/requests", with(t, aRequest, map[string]any{"country": r.country, "city": r.city, "drinksList": r.drinks}))
		s.Readable("/requests", a.ID)
	}
	rows := func(query string) (all []string) {
		for _, d := range s.Pages("/demand", query, 2) {
			all = append(all, fmt.Sprintf("%v/%v/%v %v", d["country"], d["city"], d["drink"], d["count"]))
		}
		return all
	}
	assert.Equal(t, []string{"France/Paris/Café 1", "Germany/Berlin/Club Mate 2", "Germany/Berlin/Tea 1", "germany/Bonn/Tea 1"}, rows(""))
	assert.Equal(t, []string{"Germany/Berlin/Club Mate 2", "Germany/Berlin/Tea 1", "germany/Bonn/Tea 1"}, rows("country=GERMANY&"))
	assert.Equal(t, []string{"germany/Bonn/Tea 1"}, rows("city=Bonn&"))
	assert.Empty(t, rows("city=Rome&"))
}

// A client that is slow or goes away costs nothing but its own connection.
func TestSlowAndVanishingClientsHarmNobodyElse(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var slow []*connection
	for range 50 {
		slow = append(slow, s.beginPost())
		s.beginPost().Close()
		header := s.dial()
		header.send("POST /contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-")
		gone := s.dial()
		gone.send("GET /contacts/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=20\r\n\r\n")
		gone.Close()
	}
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	for _, c := range slow {
		assert.Equal(t, http.StatusAccepted, c.completePost())
	}
	Handled(t, s.Kafka, Groups["contact-created"], "contact-created")
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 51, "half a request is none")

	announced := s.dial() // much is announced and nothing is sent
	announced.send("POST /contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n")
	assert.Equal(t, http.StatusRequestEntityTooLarge, announced.answered())

	cut := s.dial()
	cut.send("GET /healthz HTTP/1.1\r\nHost:")
	_, err := cut.reader.ReadByte()
	assert.Error(t, err, "a header that does not end is cut off") // after 5 s
}
