// Command jose has `go-jose` decide on tokens, one a line: what is trusted comes first, and each
// answer is `accept` or why not.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

type trusted struct {
	Algorithms []jose.SignatureAlgorithm `json:"algorithms"`
	Audience   string                    `json:"audience"`
	Issuer     string                    `json:"issuer"`
	Keys       jose.JSONWebKeySet        `json:"jwks"`
	Leeway     int64                     `json:"leeway"`
	Now        int64                     `json:"now"`
}

func (t *trusted) decide(text string) error {
	token, err := jwt.ParseSigned(text, t.Algorithms)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := token.Claims(&t.Keys, &claims); err != nil {
		return err
	}
	if claims.Subject == "" || claims.Expiry == nil || claims.IssuedAt == nil {
		return errors.New("a claim is missing")
	}
	expected := jwt.Expected{
		Issuer:      t.Issuer,
		AnyAudience: jwt.Audience{t.Audience},
		Time:        time.Unix(t.Now, 0),
	}
	return claims.ValidateWithLeeway(expected, time.Duration(t.Leeway)*time.Second)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	lines.Scan()
	var t trusted
	if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
		panic(err)
	}
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			panic(err)
		}
		answer := "accept"
		if err := t.decide(text); err != nil {
			answer = err.Error()
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}
