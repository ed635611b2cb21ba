package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAlgorithms(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "rsa", "p256", "p384", "p521", "ed")
	h := newRouter(i.settings(), c)
	for alg, id := range map[string]string{"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa",
		"PS384": "rsa", "PS512": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed"} {
		token := sign(alg, id, i.claimsAt(c.now(), nil))
		for range 2 { // verified, and remembered
			w := staff(h, token)
			assert.Equal(t, 200, w.Code, "%s %s", alg, w.Body)
			assert.Equal(t, `"user-1"`, w.Body.String())
			assert.Empty(t, w.Header().Get("WWW-Authenticate"))
		}
	}
	assert.EqualValues(t, 1, i.reads.Load())
}

func TestBadTokens(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "rsa", "p256")
	i.extra = []any{ // unusable keys, which must be ignored
		map[string]any{"kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"},
		map[string]any{"kty": "EC", "kid": "odd", "crv": "secp256k1", "x": "AA", "y": "AA"},
		map[string]any{"kty": "?"}, "garbage",
		jwk(signers()["p384"].Public(), "p384", "enc", ""), jwk(signers()["p521"].Public(), "p521", "", "ES256"),
		jwk(must(rsa.GenerateKey(rand.Reader, 1024)).Public(), "small", "", ""),
	}
	h := newRouter(i.settings(), c)
	now := c.now()
	good := i.claimsAt(now, nil)
	es := func(change map[string]any) string { return sign("ES256", "p256", i.claimsAt(now, change)) }
	mac := func(secret []byte, id string) string {
		return signWith(secret, map[string]any{"alg": "HS256", "kid": id}, string(must(json.Marshal(good))))
	}
	public := must(x509.MarshalPKIXPublicKey(signers()["rsa"].Public()))
	token := es(nil)
	pieces := strings.Split(token, ".")
	signedBy := func(header map[string]any, claims string) string {
		header["alg"] = "ES256"
		return signWith(signers()["p256"], header, claims)
	}
	twice := string(must(json.Marshal(good)))
	const malformed, signature, unknown = "token is malformed", "signature is invalid", "key is not known"
	for name, bad := range map[string]struct{ token, says string }{
		"expired":                   {es(map[string]any{"exp": now.Add(-31 * time.Second).Unix()}), "is expired"},
		"no exp":                    {es(map[string]any{"exp": nil}), "missing required claim"},
		"nbf in the future":         {es(map[string]any{"nbf": now.Add(31 * time.Second).Unix()}), "not valid yet"},
		"iat in the future":         {es(map[string]any{"iat": now.Add(31 * time.Second).Unix()}), "used before issued"},
		"exp no number":             {es(map[string]any{"exp": "tomorrow"}), malformed},
		"wrong iss":                 {es(map[string]any{"iss": i.URL + "/"}), "invalid issuer"},
		"no iss":                    {es(map[string]any{"iss": nil}), "missing required claim"},
		"wrong aud":                 {es(map[string]any{"aud": "shop"}), "invalid audience"},
		"wrong aud, good client_id": {es(map[string]any{"aud": []string{"shop"}, "client_id": "sipeat"}), "invalid audience"},
		"empty aud":                 {es(map[string]any{"aud": []string{}, "client_id": "sipeat"}), "missing required claim"},
		"neither aud nor client_id": {es(map[string]any{"aud": nil}), "missing required claim"},
		"wrong client_id":           {es(map[string]any{"aud": nil, "client_id": "shop"}), "invalid audience"},
		"no subject":                {es(map[string]any{"sub": nil}), "neither sub nor client_id"},
		"name in another case":      {es(map[string]any{"exp": nil, "Exp": now.Add(time.Hour).Unix()}), "missing required claim"},
		"claim twice":               {signedBy(map[string]any{"kid": "p256"}, twice[:len(twice)-1]+`,"sub":"root"}`), malformed},
		"claims no object":          {signedBy(map[string]any{"kid": "p256"}, `[]`), malformed},
		"alg none":                  {part(map[string]any{"alg": "none", "kid": "rsa"}) + "." + part(good) + ".", signature},
		"alg none, signed": {part(map[string]any{"alg": "none", "kid": "rsa"}) + "." + part(good) + "." + pieces[2],
			signature},
		"no alg":                    {part(map[string]any{"kid": "rsa"}) + "." + part(good) + "." + pieces[2], malformed},
		"HS256 with the public key": {mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "rsa"), signature},
		"HS256 with the DER":        {mac(public, "rsa"), signature},
		"HS256 with the modulus":    {mac(signers()["rsa"].Public().(*rsa.PublicKey).N.Bytes(), "rsa"), signature},
		"HS256, key of the set":     {mac([]byte("secretsecretsecretsecretsecretse"), "secret"), signature},
		"kid of a secret":           {signedBy(map[string]any{"kid": "secret"}, twice), unknown},
		"unknown kid":               {signedBy(map[string]any{"kid": "unknown"}, twice), unknown},
		"key that is too short":     {signedBy(map[string]any{"kid": "small"}, twice), unknown},
		"no kid":                    {signedBy(map[string]any{}, twice), "which key has signed it"},
		"kid no string":             {signedBy(map[string]any{"kid": 7}, twice), "which key has signed it"},
		"key for encryption":        {sign("ES384", "p384", good), unknown},
		"key of another algorithm":  {sign("ES512", "p521", good), "not for its algorithm"},
		"key of another sort":       {signedBy(map[string]any{"kid": "rsa"}, twice), signature},
		"critical header": {signedBy(map[string]any{"kid": "p256", "crit": []string{"exp"}, "exp": 1}, twice),
			"critical header"},
		"other claims": {pieces[0] + "." + part(i.claimsAt(now, map[string]any{"sub": "root"})) + "." + pieces[2], signature},
		"no signature": {pieces[0] + "." + pieces[1] + ".", signature},
		// Whole groups of four characters, or it depends on the signature's last bits whether it is base64.
		"short signature": {pieces[0] + "." + pieces[1] + "." + pieces[2][:len(pieces[2])/4*4-4], signature},
		"four parts":      {token + ".e30", malformed},
		"two parts":       {pieces[0] + "." + pieces[1], malformed},
		"encrypted":       {"eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d", malformed},
		"garbage":         {"garbage", malformed},
		"dots":            {"..", malformed},
		"huge":            {strings.Repeat("a", maxToken+1), "longer than 8192"},
		"large":           {strings.Repeat("a", maxToken), malformed},
	} {
		w := staff(h, bad.token)
		detail := problem(t, 401, w)
		assert.Contains(t, detail, bad.says, name)
		assert.Regexp(t, `^Bearer realm="sipeat", error="invalid_token", error_description="[^"\\]+"$`,
			w.Header().Get("WWW-Authenticate"), name)
	}
	assert.Equal(t, 200, staff(h, token).Code, "and the good one is good still")
}

func TestScopes(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	h := newRouter(i.settings(), c)
	for name, at := range map[string]struct {
		claims map[string]any
		status int
	}{
		"one of those asked for": {map[string]any{"scope": "admin"}, 200},
		"array":                  {map[string]any{"scope": []string{"x", "staff"}}, 200},
		"scp":                    {map[string]any{"scope": nil, "scp": "x staff"}, 200},
		"scp array":              {map[string]any{"scope": nil, "scp": []string{"staff"}}, 200},
		"scope before scp":       {map[string]any{"scope": "x", "scp": "staff"}, 403},
		"none":                   {map[string]any{"scope": nil}, 403},
		"empty":                  {map[string]any{"scope": ""}, 403},
		"part of a word":         {map[string]any{"scope": "staffing sta"}, 403},
		"other case":             {map[string]any{"scope": "Staff"}, 403},
		"audience in a list":     {map[string]any{"aud": []string{"x", "other"}}, 200},
		"client_id where no aud": {map[string]any{"aud": nil, "client_id": "sipeat"}, 200},
		"client is the caller":   {map[string]any{"sub": nil, "client_id": "robot"}, 200},
		"within the leeway": {map[string]any{"exp": c.now().Add(-29 * time.Second).Unix(),
			"nbf": c.now().Add(29 * time.Second).Unix()}, 200},
		"no nbf and no iat":     {map[string]any{"nbf": nil, "iat": nil}, 200},
		"fractions of a second": {map[string]any{"iat": float64(c.now().Unix()) + 0.5}, 200},
		"unknown claims":        {map[string]any{"groups": []any{1, "x", nil}, "email": "a@example.com"}, 200},
	} {
		w := staff(h, sign("ES256", "p256", i.claimsAt(c.now(), at.claims)))
		assert.Equal(t, at.status, w.Code, "%s %s", name, w.Body)
		if at.status == 403 {
			problem(t, 403, w)
			assert.Equal(t, `Bearer realm="sipeat", error="insufficient_scope", error_description="the token has none of the required `+
				`scopes", scope="staff admin"`,
				w.Header().Get("WWW-Authenticate"))
		}
	}
	w := staff(h, sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"sub": nil, "client_id": "robot"})))
	assert.Equal(t, `"robot"`, w.Body.String())
}
