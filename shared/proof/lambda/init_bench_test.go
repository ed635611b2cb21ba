package lambda

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkLambdaInit measures a cold start: the time from the start of a Lambda binary to its request for the first
// invocation, in turn with a function that does nothing (testdata/hello). "x-hello" is the ratio of the medians.
//
//	go test ./shared/proof/lambda -run '^$' -bench LambdaInit -benchtime 40x
func BenchmarkLambdaInit(b *testing.B) {
	hello, err := buildLambda("hello", "./testdata/hello")
	require.NoError(b, err)
	for _, side := range []struct{ name, function string }{
		{"commands", "create-contact"}, {"queries", "get-contact"}, {"consumers", "contact-created"},
	} {
		b.Run(side.name, func(b *testing.B) {
			ours, err := lambdaBinaries[side.name]()
			require.NoError(b, err)
			paths := []string{hello, ours}
			took := make([][]float64, len(paths)) // ms
			for b.Loop() {
				for i, path := range paths {
					l := startBinary(b, path, side.function, "KAFKA_BROKERS=127.0.0.1:1", "TABLE_NAME=sipeat")
					took[i] = append(took[i], l.init.Seconds()*1e3)
					l.Kill()
				}
			}
			b.ReportMetric(0, "ns/op") // of both together: meaningless
			b.ReportMetric(median(took[1]), "init-ms")
			b.ReportMetric(median(took[1])/median(took[0]), "x-hello")
			info, err := os.Stat(ours)
			require.NoError(b, err)
			b.ReportMetric(float64(info.Size())/1024, "KB")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
