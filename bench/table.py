def publish(path, output, write):
    print(path)
