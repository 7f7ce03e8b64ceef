// For nginx's njs: the client's certificate as RFC 9440's Client-Cert. Empty, and
// so no field at all, when the client showed none.
function clientCert(r) {
    const pem = r.variables.ssl_client_raw_cert;
    return pem ? ':' + pem.replace(/-----[A-Z ]+-----|\s/g, '') + ':' : '';
}

export default { clientCert };
