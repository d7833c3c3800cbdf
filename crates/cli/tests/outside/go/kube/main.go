// Command kube lets through whom the API server of Kubernetes would: it has the API server's own
// authenticator of tokens, with a structured authentication configuration.
//
//	kube CONFIGURATION ADDRESS
package main

import (
	"context"
	"net/http"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

// The certificates that the configuration names.
type bundle string

func (b bundle) CurrentCABundleContent() []byte { return []byte(b) }

func main() {
	text, err := os.ReadFile(os.Args[1])
	utilruntime.Must(err)
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	configuration := &apiserver.AuthenticationConfiguration{}
	utilruntime.Must(runtime.DecodeInto(codecs.UniversalDecoder(), text, configuration))
	compiler := cel.NewDefaultCompiler()
	if errors := validation.ValidateAuthenticationConfiguration(compiler, configuration, nil); len(errors) > 0 {
		panic(errors.ToAggregate())
	}
	trusted := configuration.JWT[0]
	authenticator, err := oidc.New(context.Background(), oidc.Options{
		JWTAuthenticator:     trusted,
		CAContentProvider:    bundle(trusted.Issuer.CertificateAuthority),
		Compiler:             compiler,
		SupportedSigningAlgs: oidc.AllValidSigningAlgorithms(),
	})
	utilruntime.Must(err)
	requests := bearertoken.New(authenticator)
	serve := func(answer http.ResponseWriter, request *http.Request) {
		who, known, err := requests.AuthenticateRequest(request)
		if err != nil || !known {
			http.Error(answer, "who are you?", http.StatusUnauthorized)
			return
		}
		answer.Write([]byte(who.User.GetName()))
	}
	utilruntime.Must(http.ListenAndServe(os.Args[2], http.HandlerFunc(serve)))
}
