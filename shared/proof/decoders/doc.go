// Package decoders answers which JSON decoder reads events from the topics. It is a module of its own, so that the
// losers never reach the project's go.mod.
//
//	go test -bench . -cpu 1 -count 5     speed
//	go test -run Oddities -v             where the candidates differ from encoding/json
//	go test -fuzz FuzzPick -fuzztime 20s the choice against encoding/json
//	go run -tags v2 ./cold               first use, one candidate per binary
//
// The choice: github.com/go-json-experiment/json (json/v2) with AllowInvalidUTF8 and AllowDuplicateNames.
//
// Measured 2026-11-23, go1.26.8 linux/amd64, AMD EPYC, 2 shared cores; goccy v0.12.0, sonic v1.15.5, segmentio v0.5.4,
// easyjson v0.9.2, json/v2 v1.27.2. Decode and encode: median (lowest) of 7 interleaved runs of 100 ms, -cpu 1, one
// event of Mix with UnmarshalText timestamps (easyjson: strings parsed afterwards). The machine was loaded: single
// runs reach 2-4 times the lowest, so read differences under 20 % as none. Size: stripped linux/arm64, over the same
// main without a decoder. Init: all packages, over that main; first use: the first decode of each of the four types
// together; both medians of 31 processes on amd64.
//
//	          decode ns    ratio  allocs  B     encode ns    size +MB  init +us  first us
//	std       5390 (4862)  1.00   20      937   1490 (1361)  0.39      18        160
//	v2 chosen 2068 (2000)  0.38   10      601   1669 (1567)  0.85      70        194
//	goccy     1103 (1019)  0.20   13      608    863  (814)  2.36      201       136
//	segmentio 1172 (1122)  0.22   12      604   1108 (1045)  0.52      109       178
//	sonic     1881 (1743)  0.35   4       999   1162 (1134)  1.18      3506      12039
//	easyjson  1321 (1112)  0.25   14      412   -            -         -         -
//
// sonic's decoder is compiled at run time on amd64, where it adds 4.26 MB. Under GOEXPERIMENT=jsonv2 json/v2 is the
// standard library's: 2236 (2073) ns, and encoding/json over it 2720 (2523) ns.
//
// No candidate's result aliases its input, and none takes a truncated event. First use of each type by 32 goroutines
// at once under -race: 0 of 200 processes failed with json/v2 and with goccy, 0 of 30 with segmentio and with sonic.
// FuzzPick and FuzzGoccy found nothing in 20 s each. Why not the faster ones:
//
//   - segmentio has no depth limit: one record of 1 MB of brackets took 529 MB of stack, 10 MB ended the process.
//   - goccy is the fastest and passed all; it costs 1.5 MB more in a Lambda binary and rests on unsafe in 104 files.
//   - sonic and easyjson accept raw control characters and pass invalid UTF-8 on; easyjson knows no type parameters.
//
// json/v2 uses no unsafe, and under Go 1.27 its module is an alias of the standard library.
package decoders
