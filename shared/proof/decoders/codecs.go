package decoders

import (
	stdjson "encoding/json"

	"github.com/bytedance/sonic"
	v2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	goccy "github.com/goccy/go-json"
	segmentio "github.com/segmentio/encoding/json"
)

// A Codec is one candidate as it would be called.
type Codec struct {
	Name      string
	Unmarshal func([]byte, any) error
	Marshal   func(any) ([]byte, error)
}

// tolerant is json/v2 as a reader of topics must set it: JSON.stringify writes lone surrogates, and neither they
// nor a name that stands twice make an event unreadable.
var tolerant = v2.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// Codecs are the reflecting candidates; easyjson generates code and stands apart (folder easy).
var Codecs = []Codec{
	{"std", stdjson.Unmarshal, stdjson.Marshal},
	{"v2", func(b []byte, v any) error { return v2.Unmarshal(b, v) }, func(v any) ([]byte, error) { return v2.Marshal(v) }},
	{"v2tolerant", func(b []byte, v any) error { return v2.Unmarshal(b, v, tolerant) }, func(v any) ([]byte, error) { return v2.Marshal(v, tolerant) }},
	{"goccy", goccy.Unmarshal, goccy.Marshal},
	{"sonic", sonic.Unmarshal, sonic.Marshal},
	{"sonicstd", sonic.ConfigStd.Unmarshal, sonic.ConfigStd.Marshal},
	{"segmentio", func(b []byte, v any) error { return segmentio.Unmarshal(b, v) }, segmentio.Marshal},
}
