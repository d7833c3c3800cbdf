// Asks about the first certificate of a file, of which the second is the issuer, at an address, and
// says what is answered.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/crypto/ocsp"
)

func main() {
	status, err := ask(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(status)
}

func ask(file, address string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", err
		}
		chain = append(chain, certificate)
	}
	request, err := ocsp.CreateRequest(chain[0], chain[1], nil)
	if err != nil {
		return "", err
	}
	answer, err := http.Post(address, "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	said, err := ocsp.ParseResponseForCert(body, chain[0], chain[1])
	if err != nil {
		return "", err
	}
	if said.Status == ocsp.Revoked {
		return fmt.Sprintf("revoked %d", said.RevocationReason), nil
	}
	return map[int]string{ocsp.Good: "good", ocsp.Unknown: "unknown"}[said.Status], nil
}
