package decoders_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/sipeat/sipeat/shared/proof/decoders"
	"github.com/sipeat/sipeat/shared/proof/decoders/easy"

	"github.com/mailru/easyjson"
)

// BenchmarkDecode: one event of the mix, its two timestamps read, by each candidate and each way of timestamp.
func BenchmarkDecode(b *testing.B) {
	for _, c := range Codecs {
		for _, way := range []struct {
			name   string
			decode func(func([]byte, any) error, int) error
		}{
			{"late", DecodeMixed[LateTime]},
			{"text", DecodeMixed[TextTime]},
			{"json", DecodeMixed[JSONTime]},
			{"time", DecodeMixed[StdTime]},
			{"from", DecodeMixed[FromTime]},
			{"latepointer", DecodeMixedPointer[LateTime]},
		} {
			if way.name == "from" && !strings.HasPrefix(c.Name, "v2") {
				continue
			}
			b.Run(c.Name+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := way.decode(c.Unmarshal, i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("easyjson/late", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := decodeEasy(i); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func decodeEasy(i int) (err error) {
	var a, m LateTime
	b := Mix[i&1023]
	switch i & 3 {
	case 0:
		var e easy.ContactEvent
		err = easyjson.Unmarshal(b, &e)
		a, m = e.Data.Timestamp, e.Metadata.Timestamp
	case 1:
		var e easy.MachineEvent
		err = easyjson.Unmarshal(b, &e)
		a, m = e.Data.Timestamp, e.Metadata.Timestamp
	case 2:
		var e easy.RequestEvent
		err = easyjson.Unmarshal(b, &e)
		a, m = e.Data.Timestamp, e.Metadata.Timestamp
	default:
		var e easy.NotificationEvent
		err = easyjson.Unmarshal(b, &e)
		a, m = e.Data.Timestamp, e.Metadata.Timestamp
	}
	for _, s := range []LateTime{a, m} {
		if err == nil {
			_, err = s.Parse()
		}
	}
	return err
}

// BenchmarkEncode: one event of the mix.
func BenchmarkEncode(b *testing.B) {
	text, late := Values[TextTime](), Values[LateTime]()
	for _, c := range Codecs {
		for name, v := range map[string][4]any{"text": text, "late": late} {
			b.Run(c.Name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := c.Marshal(v[i&3]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkTimestamp: what reading one timestamp costs without a decoder around it.
func BenchmarkTimestamp(b *testing.B) {
	s := "2026-11-23T06:54:21.123Z"
	b.Run("hand", func(b *testing.B) {
		for b.Loop() {
			ParseTime(s)
		}
	})
	b.Run("time.Parse", func(b *testing.B) {
		for b.Loop() {
			time.Parse(time.RFC3339, s)
		}
	})
}
