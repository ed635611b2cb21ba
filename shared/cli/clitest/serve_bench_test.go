package clitest

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkServeStart is the time from starting the built command on an empty folder to the first 202, and its resident
// memory then and after 1000 posts, whose consumers are done. All are medians.
func BenchmarkServeStart(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("resident memory is read from /proc, which Linux has")
	}
	_, err := Program()
	require.NoError(b, err)
	var first, fresh, used []float64
	for b.Loop() {
		for range 5 {
			began := time.Now()
			s := serve(b, b.TempDir())
			s.Post("/contacts", AContact)
			first = append(first, float64(time.Since(began).Microseconds())/1000)
			fresh = append(fresh, resident(b, s.Process))
			for n := range 1000 {
				e := endpoints[n%len(endpoints)]
				s.Post(e.path, e.body)
			}
			for topic, group := range Groups {
				Handled(b, s.Kafka, group, topic)
			}
			used = append(used, resident(b, s.Process))
			s.Kill()
		}
	}
	b.ReportMetric(median(first), "ms-to-first-202")
	b.ReportMetric(median(fresh), "MB-at-start")
	b.ReportMetric(median(used), "MB-after-1000")
	b.ReportMetric(0, "ns/op")
}

func resident(b *testing.B, p *Process) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	require.NoError(b, err)
	var kb float64
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kb)
	require.NoError(b, err)
	return kb / 1024
}

// BenchmarkServePost posts contacts to three processes in turn, each with an embedded broker of its own that syncs to the
// disk: `sipeat serve`; its API alone, without consumers; and the bare handler of bare_test.go. The clients are in this
// process and share the CPUs with whichever is posted to. Figures are medians of rounds, in which the three alternate;
// -x is beside the bare handler in the same round.
func BenchmarkServePost(b *testing.B) {
	sides := []*side{{name: "serve"}, {name: "api"}, {name: "bare"}}
	for _, s := range sides {
		c := exec.Command(os.Args[0])
		c.Env = append(CleanEnvironment(), bareEnv+"="+s.name+"|"+b.TempDir())
		if s.name == "serve" {
			c = command(b, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", b.TempDir())
		}
		log, err := os.Create(filepath.Join(b.TempDir(), "log")) // a file, so that nobody's CPU goes into reading it
		require.NoError(b, err)
		defer log.Close()
		c.Stderr = log
		p := &Serving{Process: Start(b, c)}
		p.Ready()
		s.url = p.URL
	}
	for round := 0; b.Loop(); round++ {
		for range 5 {
			round++
			for i := range sides {
				s := sides[(i+round)%len(sides)]
				s.p50 = append(s.p50, median(post(b, s.url, 1, 200)))
				began := time.Now()
				const posts = 64 * 25
				post(b, s.url, 64, posts)
				s.rate = append(s.rate, posts/time.Since(began).Seconds())
			}
		}
	}
	bare := sides[2]
	for _, s := range sides {
		b.ReportMetric(median(s.p50), s.name+"-p50-ms")
		b.ReportMetric(median(s.rate), s.name+"-posts/s")
		if s != bare {
			b.ReportMetric(median(ratios(s.p50, bare.p50)), s.name+"-p50-x")
			b.ReportMetric(median(ratios(s.rate, bare.rate)), s.name+"-rate-x")
		}
	}
	b.ReportMetric(0, "ns/op")
}

type side struct {
	name, url string
	p50, rate []float64 // by round: milliseconds, posts a second
}

// post posts from so many clients, and returns how many milliseconds each post took.
func post(b *testing.B, url string, clients, posts int) []float64 {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var left, refused atomic.Int64
	left.Store(int64(posts))
	took := make([][]float64, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				got, err := client.Post(url+"/contacts", "application/json", strings.NewReader(AContact))
				if err != nil {
					refused.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, got.Body)
				got.Body.Close()
				if got.StatusCode != http.StatusAccepted {
					refused.Add(1)
				}
				took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)
			}
		})
	}
	all.Wait()
	require.Zero(b, refused.Load())
	return slices.Concat(took...)
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return r
}
