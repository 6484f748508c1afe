module interop/runner

go 1.21
