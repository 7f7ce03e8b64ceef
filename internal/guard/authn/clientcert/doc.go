// Package clientcert says who holds a client certificate.
//
// In: the certificate of a connection, or of a field that a trusted proxy wrote
// (RFC 9440, Envoy's X-Forwarded-Client-Cert, PEM or DER as other proxies send
// them), the authorities that are taken, and files of revoked certificates (CRL,
// RFC 5280). Out: the holder's identity with the certificate's attributes, or why
// there is none.
//
// It must never take a certificate that its authorities did not issue for
// clients, that has expired while the connection lives, or that was revoked; and
// where a list of revocations is demanded and is missing or out of date, none.
package clientcert
