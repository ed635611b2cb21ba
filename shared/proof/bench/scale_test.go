package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkScale measures what callers wait for in `sipeat serve` that holds SCALE_EVENTS requests (100,000 without it) of 1,000
// cities, beside an empty one: a POST, a GET by id, the first page and page 1,000 of a list, the demand of a city, and a POST
// with the GET by Prefer: wait that follows. The two alternate; figures are medians, -x is the full one's divided by the
// empty one's. Where the empty one has no such page it answers an empty list. "start" is how long the full one takes to start
// again after a kill -9, and its peak memory until then.
//
//	SCALE_EVENTS=1000000 go test ./shared/proof/bench -run '^$' -bench Scale -benchtime 100x -timeout 30m
func BenchmarkScale(b *testing.B) {
	total := 100_000
	if n, err := strconv.Atoi(os.Getenv("SCALE_EVENTS")); err == nil {
		total = n
	}
	var sides [2]*program.Serving // empty, full
	var ids [2]string
	var took [2]map[string][]float64
	data := b.TempDir()
	serve := func(data string) *program.Serving {
		return start(b, []string{"LOG_LEVEL=warn"}, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", data)
	}
	for i, n := range []int{1, total} {
		sides[i] = serve([]string{b.TempDir(), data}[i])
		ids[i], took[i] = fillRequests(b, sides[i], n), map[string][]float64{}
	}
	deep := pageAfter(b, sides[1].URL+"/requests?limit=20", 999)
	for b.Loop() {
		for i, s := range sides {
			timed := func(name string, do func()) {
				began := time.Now()
				do()
				took[i][name] = append(took[i][name], float64(time.Since(began).Microseconds())/1000)
			}
			timed("post", func() {
				posted, err := visitor.Post(s.URL+"/contacts", "application/json", strings.NewReader(program.AContact))
				require.NoError(b, err)
				posted.Body.Close()
			})
			timed("get", func() { get(b, s.URL+"/requests/"+ids[i]) })
			timed("list", func() { get(b, s.URL+"/requests?limit=20") })
			timed("page-1000", func() { get(b, s.URL+"/requests?limit=20"+deep) })
			timed("demand", func() { get(b, s.URL+"/demand?country=USA&city="+url.QueryEscape("City 7")) })
			ms, err := until200(b.Context(), s.URL, "wait=10")
			require.NoError(b, err)
			took[i]["prefer"] = append(took[i]["prefer"], ms)
		}
	}
	b.ReportMetric(0, "ns/op")
	sides[1].Kill()
	began := time.Now()
	again := serve(data)
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "start-ms")
	b.ReportMetric(float64(peak(again.Cmd.Process.Pid))/1024, "start-MB")
	for name := range took[0] {
		b.ReportMetric(median(took[1][name]), name+"-ms")
		b.ReportMetric(median(took[1][name])/median(took[0][name]), name+"-x")
	}
}

// fillRequests publishes requests of a producer that announces them itself, so that no notifications are derived, waits until
// the last is readable, and returns its id.
func fillRequests(b *testing.B, s *program.Serving, total int) (id string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.DefaultProduceTopic("request-created"))
	require.NoError(b, err)
	defer client.Close()
	for i := range total {
		e, err := events.New(events.RequestCreated{Request: events.Request{
			Name: "Grace Hopper", Email: "grace@example.com", Phone: "+1 (212) 555-0142", Address: fmt.Sprintf("%d Harbor Way", i),
			City: fmt.Sprint("City ", i%1000), Country: "USA", DrinksList: []string{"Espresso", "Mate"},
		}})
		require.NoError(b, err)
		e.Metadata.Producer = "sipeat-app"
		value, err := e.Encode()
		require.NoError(b, err)
		client.Produce(b.Context(), &kgo.Record{Key: []byte(e.Key()), Value: value}, nil)
		if id = e.Data.ID; i == total-1 || i%20_000 == 0 {
			require.NoError(b, client.Flush(b.Context()))
			program.Handled(b, s.Kafka, "request-created")
		}
	}
	return id
}

// pageAfter is the part of a query that selects the page after so many.
func pageAfter(b *testing.B, list string, pages int) (cursor string) {
	for range pages {
		var page struct{ NextCursor *string }
		require.NoError(b, json.Unmarshal([]byte(get(b, list+cursor)), &page))
		require.NotNil(b, page.NextCursor, "SCALE_EVENTS must be 20,000 or more")
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	return cursor
}

func get(b *testing.B, address string) string {
	a, err := program.Try(http.MethodGet, address, "")
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, a.Status, a.Body)
	return a.Body
}
